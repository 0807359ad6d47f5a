#!/bin/sh
# Makes the layer that all hosts of a laboratory share, over the root of this machine: see image.ts. Run in it, as
#
#   image.sh LAYER EXECUTABLE UNITS
set -eu
layer=$1 executable=$2 units=$3

# What is below these on the machine does not exist on a host.
emptied='etc/systemd/system etc/locksmith etc/coreos etc/flatcar var/log var/tmp var/cache/locksmith var/lib/locksmith
  tmp root home boot usr/local'
for folder in $emptied; do mkdir -p "$layer/$folder"; done
# shellcheck disable=SC2086 -- a list of words
(cd "$layer" && python3 -c '
import os, sys
for folder in sys.argv[1:]: os.setxattr(folder, "trusted.overlay.opaque", b"y")
' $emptied)
chmod 1777 "$layer/tmp" "$layer/var/tmp"
chmod 0700 "$layer/root"

# Nor do these: a host is no application container, and its kernel is the machine's, whatever is in /lib/modules.
hidden='.dockerenv usr/lib/modules etc/resolv.conf run/.containerenv'
for file in $hidden; do
  mkdir -p "$(dirname "$layer/$file")"
  mknod "$layer/$file" c 0 0
done

mkdir -p "$layer/var/log/journal" "$layer/usr/local/bin" "$layer/etc/systemd/system/multi-user.target.wants"
: >"$layer/etc/fstab"
cp "$executable" "$layer/usr/local/bin/locksmith"
ln -s locksmith "$layer/usr/local/bin/locksmithd"
cp "$units/locksmithd.service" "$layer/etc/systemd/system/"
ln -s ../locksmithd.service "$layer/etc/systemd/system/multi-user.target.wants/"
# unpacked once, and not by every host
chmod 1700 "$layer/var/cache/locksmith"
env -i PATH="$PATH" LOCKSMITH_CACHE_DIR="$layer/var/cache/locksmith" "$layer/usr/local/bin/locksmith" version >/dev/null

# A person to be logged in.
mkdir -p "$layer/home/anna"
chown 2000:2000 "$layer/home/anna"
for file in passwd group shadow; do cp -p "/etc/$file" "$layer/etc/$file"; done
echo 'anna:x:2000:2000::/home/anna:/bin/sh' >>"$layer/etc/passwd"
echo 'anna:x:2000:' >>"$layer/etc/group"
echo 'anna:*:19000:0:99999:7:::' >>"$layer/etc/shadow"
