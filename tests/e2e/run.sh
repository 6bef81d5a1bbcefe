#!/bin/sh
# run.sh - what a real kubelet does with our probes
#
# Usage: run.sh [-h] [ARGUMENT]...
#
#   ARGUMENT  for Python, in the namespaces of the node (-m pytest tests/e2e)
#
# Needs root, Debian's packages and the right to make namespaces; where one of these is
# missing it says so and leaves everything out. Installs what it needs with apt, has
# the kubelet built once, and runs tests/e2e in namespaces of its own: nothing is left.

set -u

# skip WHY
skip() {
  printf 'e2e: LEFT OUT: %s\n0 passed, 0 failed, 1 skipped\n' "$1"
  exit 0
}

install_tools() {
  for pair in containerd:containerd runc:runc go:golang-go gcc:gcc tini:tini busybox:busybox ip:iproute2 \
    unshare:util-linux hostname:hostname; do
    command -v "${pair%:*}" >/dev/null || packages="${packages-} ${pair#*:}"
  done
  # The headers and libc.a that a static pause is linked with.
  [ -e /usr/include/stdio.h ] || packages="${packages-} libc6-dev"
  [ -x /usr/bin/python3 ] || packages="${packages-} python3"
  [ -n "${packages-}" ] || return 0
  printf 'e2e: installing%s\n' "$packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # split into names
  { apt-get -qq update && apt-get -qq install --no-install-recommends -y $packages; } >/dev/null
}

# The cgroups of this node, apart from those of a kubelet that serves this machine: it
# would take our pods for orphans, and ours its.
make_cgroups() {
  for root in $(hierarchies); do
    mkdir "$root/$cgroup" || return 1
    # A cpuset begins empty, and takes no process so.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$root/$file" ] || [ -e "$root/cgroup.controllers" ] || cat "$root/$file" >"$root/$cgroup/$file" || return 1
    done
  done
}

hierarchies() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    for root in /sys/fs/cgroup/*/; do [ ! -e "$root/cgroup.procs" ] || echo "${root%/}"; done
  fi
}

# All of them empty by now.
remove_cgroups() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    for root in $(hierarchies); do
      [ ! -d "$root/$cgroup" ] || find "$root/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name "$cgroup" -print -quit)" ] || return 0
    sleep 0.5
  done
  printf 'e2e: the cgroup %s is left\n' "$cgroup" >&2
  return 1
}

main() {
  case ${1:-} in
    -h | --help)
      sed -n '2{s/^# //;p}; 3,/^$/{s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
  esac
  cd "$(dirname "$0")/../.." || exit 1
  [ $# -gt 0 ] || set -- -m pytest tests/e2e
  [ "$(id -u)" = 0 ] || skip 'not root (a kubelet is)'
  command -v apt-get >/dev/null || skip 'no apt: the kubelet is built from a package of Debian'
  unshare --mount --net --pid --ipc --uts --fork --mount-proc true 2>/dev/null || skip 'no right to make namespaces'
  cgroup=liveness-e2e-$$
  make_cgroups 2>/dev/null || { remove_cgroups && skip 'no right to make cgroups'; }
  remove_cgroups
  install_tools || skip 'apt cannot install what a node needs'
  kept=$(tests/e2e/build.sh) || exit 1

  folder=$(mktemp -d) || exit 1
  make_cgroups
  # A shell is process 1 in there: it buries what containerd leaves.
  # shellcheck disable=SC2016 # for the other shell
  LIVENESS_KUBELET=$kept/kubelet LIVENESS_NODE=$folder LIVENESS_CGROUP=/$cgroup unshare --mount --net --pid --ipc --uts --fork --mount-proc \
    --propagation private --kill-child sh -c '"$@"; exit $?' sh .venv/bin/python "$@" &
  node=$!
  # With it everything in its namespaces ends.
  trap 'kill -KILL "$node"' HUP INT TERM
  wait "$node"
  status=$?
  trap '' HUP INT TERM
  remove_cgroups || status=1
  case $status in
    0 | 129 | 130 | 137 | 143) rm -rf --one-file-system "$folder" ;;
    *) printf 'e2e: the logs are in %s\n' "$folder" ;;
  esac
  exit "$status"
}

main "$@"
