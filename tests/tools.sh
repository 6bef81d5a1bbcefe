#!/bin/sh
# tools.sh - install what the tests need and this machine lacks
#
# As root on a machine with apt it installs the missing ones; otherwise it names
# them, and the tests that need them are left out aloud.

set -u

# What is missing of: command, and the Debian package that has it.
missing() {
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || printf '%s\n' "$package"
  done <<EOF
bash bash
busybox busybox
dash dash
ksh93 ksh93u+m
makeinfo texinfo
mksh mksh
setpriv util-linux
shellcheck shellcheck
strace strace
unshare util-linux
yash yash
zsh zsh
EOF
}

main() {
  packages=$(missing | sort -u | tr '\n' ' ')
  [ -n "$packages" ] || exit 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    printf 'tools: not here, so what needs them is left out: %s\n' "$packages"
    exit 0
  fi
  printf 'tools: installing %s\n' "$packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # split into packages
  if ! { apt-get -qq update && apt-get -qq install --no-install-recommends -y $packages; } >/dev/null 2>&1; then
    # One that this release does not have must not keep the others away.
    for package in $packages; do
      apt-get -qq install --no-install-recommends -y "$package" >/dev/null 2>&1
    done
  fi
  packages=$(missing | sort -u | tr '\n' ' ')
  [ -z "$packages" ] || printf 'tools: cannot be installed, so what needs them is left out: %s\n' "$packages"
}

main "$@"
