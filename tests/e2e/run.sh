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

# The cgroups that kubelet and containerd have made, all of them empty by now.
remove_cgroups() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    find /sys/fs/cgroup -depth -type d \( -path '*/kubepods*' -o -path '*/k8s.io*' \) -exec rmdir {} + 2>/dev/null
    [ -n "$(find /sys/fs/cgroup -type d \( -name kubepods -o -name k8s.io \) -print -quit)" ] || return 0
    sleep 0.5
  done
  printf 'e2e: cgroups of the kubelet are left\n' >&2
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
  [ -w /sys/fs/cgroup ] || skip 'no right to make cgroups'
  install_tools || skip 'apt cannot install what a node needs'
  kept=$(tests/e2e/build.sh) || exit 1

  folder=$(mktemp -d) || exit 1
  # A shell is process 1 in there: it buries what containerd leaves.
  # shellcheck disable=SC2016 # for the other shell
  LIVENESS_KUBELET=$kept/kubelet LIVENESS_NODE=$folder unshare --mount --net --pid --ipc --uts --fork --mount-proc \
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
