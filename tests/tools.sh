#!/bin/sh
# tools.sh - install what the tests need and this machine lacks
#
# As root on a machine with apt it installs the missing ones; otherwise it names
# them, and the tests that need them are left out aloud.

set -u

# What is missing of: command, and the Debian package that has it.
missing() {
  # Debian keeps PostgreSQL's programs off PATH, in a folder of each version.
  PATH=$PATH:/usr/sbin:$(printf %s: /usr/lib/postgresql/*/bin)
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || printf '%s\n' "$package"
  done <<EOF
bash bash
busybox busybox
dash dash
gcc gcc
haproxy haproxy
ksh93 ksh93u+m
makeinfo texinfo
memcached memcached
mksh mksh
openssl openssl
postgres postgresql
redis-server redis-server
setpriv util-linux
shellcheck shellcheck
strace strace
unshare util-linux
yash yash
zsh zsh
EOF
}

# The tests start servers of their own: those of Debian neither start now, nor with the machine.
keep_services_quiet() {
  policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# leave_no_service PACKAGES: those of them that are a server. One that was here before stays as it is.
leave_no_service() {
  for service in haproxy memcached postgresql redis-server; do
    case " $1 " in
      *" $service "*)
        if command -v systemctl >/dev/null 2>&1; then systemctl disable "$service" >/dev/null 2>&1; fi
        update-rc.d "$service" disable >/dev/null 2>&1
        ;;
    esac
  done
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
  keep_services_quiet
  # shellcheck disable=SC2086 # split into packages
  if ! { apt-get -qq update && apt-get -qq install --no-install-recommends -y $packages; } >/dev/null 2>&1; then
    # One that this release does not have must not keep the others away.
    for package in $packages; do
      apt-get -qq install --no-install-recommends -y "$package" >/dev/null 2>&1
    done
  fi
  leave_no_service "$packages"
  packages=$(missing | sort -u | tr '\n' ' ')
  [ -z "$packages" ] || printf 'tools: cannot be installed, so what needs them is left out: %s\n' "$packages"
}

main "$@"
