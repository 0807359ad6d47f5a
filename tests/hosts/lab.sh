#!/bin/sh
# A place of its own for hosts: namespaces of mounts, networks and processes, an empty /run, a cgroup. See lab.ts.
#
#   lab.sh NAME          makes it, prints the id of its first process, and takes it down when stdin ends
#   lab.sh inside NAME   what its first process does
set -eu

# Removes a cgroup that no process is in, with all below it.
remove() {
  ! grep -qs 'populated 0' "$1/cgroup.events" || find "$1" -depth -type d -exec rmdir {} +
}

if [ "$1" = inside ]; then
  # /proc is still the machine's: this is the id by which the machine knows us
  read -r pid _ </proc/self/stat
  mount -t proc proc /proc
  mount -t tmpfs -o mode=0755 tmpfs /run
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  for left in /sys/fs/cgroup/locksmith-hosts-*; do remove "$left" || true; done
  mkdir "/sys/fs/cgroup/$2"
  echo 0 >"/sys/fs/cgroup/$2/cgroup.procs"
  ip link set lo up
  echo "$pid"
  # the first process of a namespace takes all others with it, and this one ends when whoever holds its stdin does
  exec cat >/dev/null
fi

if [ "$1" = sweep ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  remove "/sys/fs/cgroup/$2"
  exit
fi

status=0
unshare --mount --propagation private --net --pid --fork --kill-child sh "$0" inside "$1" || status=$?
unshare --mount --propagation private sh "$0" sweep "$1"
exit "$status"
