#!/bin/sh
# locksmith @VERSION@: this text, and behind it a gzip'd tar with the program (*.js) and its runtime (locksmith).
#
# The first run unpacks the tar into a folder that is named by the SHA-256 of the tar, later runs start from there. The
# folder appears whole or not at all. It lies in $LOCKSMITH_CACHE_DIR, else $CACHE_DIRECTORY (set by systemd), else
# /var/cache/locksmith (root), else ${XDG_CACHE_HOME:-$HOME/.cache}/locksmith, which must belong to the user and be
# writable by nobody else. Needed beside a POSIX shell, in the first run only: coreutils or busybox, gzip, tar.
#
# Nothing on the way to a later run starts another process: each would cost as much as all of this text.

my_id=@ID@
# Where none is set, bash puts one with the current folder at its end.
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
PATH=${PATH%:.}
export PATH

if [ -n "$LOCKSMITH_CACHE_DIR" ]; then my_base=$LOCKSMITH_CACHE_DIR
elif [ -n "$CACHE_DIRECTORY" ]; then my_base=${CACHE_DIRECTORY%%:*}
elif [ -O / ]; then my_base=/var/cache/locksmith
elif [ "${XDG_CACHE_HOME#/}" != "$XDG_CACHE_HOME" ]; then my_base=$XDG_CACHE_HOME/locksmith
elif [ -n "$HOME" ]; then my_base=$HOME/.cache/locksmith
else my_base=
fi
my_home=$my_base/$my_id

complete() {
  for my_script in @SCRIPTS@; do [ -s "$my_home/$my_script" ] || return; done
  [ -x "$my_home/locksmith" ]
}

# Nobody else can put a folder of theirs in our place. The sticky bit, which the folders made here have, answers that
# without asking ls: in a sticky folder of ours nobody but us renames or removes what is ours.
trusted() {
  [ -O "$my_base" ] && [ -O "$my_home" ] && [ ! -L "$my_home" ] && [ -O "$my_home/locksmith" ] && { [ -k "$my_base" ] || private; }
}

private() {
  case $(LC_ALL=C ls -ld "$my_base/") in
    d????-??-*) true ;;
    *) false ;;
  esac
}

# The runtime obeys many variables that were meant for other programs. They are set aside, and LOCKSMITH_RESTORE is the
# piece of shell that brings them back: the program puts it before every command of the operator that it starts.
start() {
  my_restore='unset DENO_DIR DENO_NO_UPDATE_CHECK LOCKSMITH_ARGV0 LOCKSMITH_RESTORE LOCKSMITH_STDOUT;'
  for my_name in COMPLETE @VARIABLES@; do
    eval "[ -n \"\${$my_name+set}\" ]" || continue
    eval "export LOCKSMITH_SAVED_$my_name=\"\$$my_name\""
    unset "$my_name"
    my_restore="$my_restore export $my_name=\"\$LOCKSMITH_SAVED_$my_name\"; unset LOCKSMITH_SAVED_$my_name;"
  done
  # With one of these set the runtime starts no child at all, unless it may start every program.
  my_run=--allow-run=@RUN@
  [ -z "${LD_PRELOAD+set}${LD_LIBRARY_PATH+set}${LD_AUDIT+set}${LD_BIND_NOW+set}${LD_DEBUG+set}" ] || my_run=--allow-run
  { true >"$my_home/used"; } 2>/dev/null
  # The runtime opens /dev/null in its place, and what is written is lost without a word.
  unset LOCKSMITH_STDOUT
  { true 3>&1; } 2>/dev/null || export LOCKSMITH_STDOUT=closed
  # Any word may be the command: what differs is only how fast it starts and how much memory it takes.
  my_flags='@BRIEF@'
  for my_word in "${0##*/}" "$@"; do
    case $my_word in daemon | locksmithd) my_flags='@LASTING@' ;; esac
  done
  DENO_DIR=$my_home/deno DENO_NO_UPDATE_CHECK=1 LOCKSMITH_ARGV0=$0 LOCKSMITH_RESTORE=$my_restore
  export DENO_DIR DENO_NO_UPDATE_CHECK LOCKSMITH_ARGV0 LOCKSMITH_RESTORE
  exec "$my_home/locksmith" run --quiet --no-config --no-lock --no-remote --no-npm @PERMISSIONS@ "$my_run" \
    $my_flags "$my_home/locksmith.js" "$@"
}

if complete && trusted; then start "$@"; fi

# From here on: the first run.

fail() {
  printf 'locksmith: error: %s\nlocksmith: hint: %s\n' "$1" "$2" >&2
  exit 1
}

my_else='name another folder with LOCKSMITH_CACHE_DIR'

# Renamed first: whoever is at work in it then fails as a whole, and never moves a half-removed folder into place.
discard() {
  mv -fT "$1" "$my_base/.sweep.$$.${1##*/}"
}

# Removes what killed runs left behind, and versions that nobody has used for 30 days and no process runs now.
sweep() {
  for old in "$my_base"/.unpack.*; do
    [ -d "$old" ] || continue
    pid=${old##*/.unpack.}
    if [ ! -d "/proc/${pid%%.*}" ] || [ -n "$(find "$old" -prune -mtime +0)" ]; then discard "$old"; fi
  done
  for old in "$my_base"/[0-9a-f]*; do
    name=${old##*/}
    if [ ${#name} -ne 64 ] || [ "$name" = "$my_id" ]; then continue; fi
    [ -n "$(find "$old/used" -prune -mtime +30)" ] || continue
    for exe in /proc/[0-9]*/exe; do
      if [ "$exe" -ef "$old/locksmith" ]; then continue 2; fi
    done
    discard "$old"
  done
  rm -rf "$my_base"/.sweep.*
}

# Prints why it failed. The new folder is on the disk before its name is: a machine that loses power must not find
# the name with half of a runtime behind it.
unpack() {
  new=$(mktemp -d "$my_base/.unpack.$$.XXXXXX") || return
  if ! tail -c +@OFFSET@ "$0" | gzip -dc | tar -xof - -C "$new"; then
    rm -rf "$new"
    return 1
  fi
  if ! "$new/locksmith" --version >/dev/null; then
    echo 'the unpacked runtime does not start'
    rm -rf "$new"
    return 1
  fi
  sync "$new/locksmith" "$new"/*.js 2>/dev/null || sync
  true >"$new/used"
  mv -fT "$new" "$my_home" 2>/dev/null && return
  if ! complete; then
    discard "$my_home"
    mv -fT "$new" "$my_home" && rm -rf "$my_base"/.sweep.* && return
  fi
  rm -rf "$new"
  complete
}

case $my_base in
  /*) ;;
  '') fail 'cannot unpack the program: neither HOME nor XDG_CACHE_HOME is set' "$my_else" ;;
  *) fail "cannot unpack the program into $my_base: this is not an absolute path" "$my_else" ;;
esac
if [ ! -d "$my_base" ]; then
  # Two first runs may make it at once; the sticky bit is explained above.
  my_why=$(
    umask 077
    { mkdir -p "${my_base%/*}/" && { mkdir -m 1700 "$my_base" || [ -d "$my_base" ]; }; } 2>&1
  ) ||
    fail "cannot make the cache folder $my_base: ${my_why##*: }" "make it writable by this user, or $my_else"
fi
[ -O "$my_base" ] || fail "cannot use the cache folder $my_base: it belongs to another user" "chown it to this user, or $my_else"
private || fail "cannot use the cache folder $my_base: others can write to it" "chmod 0700 '$my_base', or $my_else"
if complete && ! trusted; then
  fail "cannot use $my_home: it belongs to another user or is a link" "remove it, or $my_else"
fi
[ -w "$my_base" ] || fail "cannot unpack the program into $my_base: it is not writable" "make it writable by this user, or $my_else"
my_why=$(
  umask 077
  LC_ALL=C
  export LC_ALL
  sweep >/dev/null 2>&1
  unpack 2>&1
) || case $my_why in
  *'o space left'* | *'Wrote only'* | *'uota exceeded'*)
    fail "cannot unpack the program into $my_base: no space left on device" "free @MIB@ MiB there, or $my_else" ;;
  *'ermission denied'*)
    fail "cannot unpack the program into $my_base: permission denied" \
      "it must be writable, and mounted without noexec; else $my_else" ;;
  *)
    fail "cannot unpack the program into $my_base: $(printf '%s' "${my_why:-unknown reason}" | head -n 1)" \
      "make sure that tail, gzip, tar, mktemp, mv and sync work, or $my_else" ;;
esac
# The runtime studies each script once and remembers what it found, but a process never gives back the memory that this
# takes. In a daemon it would be 20 MiB for weeks.
env -i DENO_DIR="$my_home/deno" DENO_NO_UPDATE_CHECK=1 "$my_home/locksmith" cache --quiet --no-config --no-lock --no-remote \
  --no-npm "$my_home"/*.js </dev/null >/dev/null 2>&1
start "$@"
exit
