#!/bin/sh
# check.sh - lint, types and the tests of the core under dash and bash, in less than a minute
#
# The core is what a probed program imports, and health.sh. Prints nothing but the
# parts' own results. Exit status 0 only if nothing failed.

set -u

main() {
  cd "$(dirname "$0")/.." || exit 1
  status=0 shells=''
  home=$(mktemp -d) || exit 1
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  ./test_health.sh dash bash >"$home/shells" 2>&1 &
  shells=$!
  sh tests/lint.sh || status=1
  LIVENESS_SHELLS='dash bash' sh tests/pytest.sh .venv -m 'not minute' -k 'not at_one_moment' \
    tests/test_names.py tests/test_formats.py tests/test_directory.py tests/test_proc.py tests/test_imports.py \
    tests/test_life.py tests/test_unit.py tests/test_jobs.py tests/test_linux.py || status=1
  wait "$shells" || status=1
  shells=''
  cat "$home/shells"
  return $status
}

# Stop what still runs, and leave nothing behind.
clean_up() {
  [ -z "$shells" ] || kill "$shells" 2>/dev/null
  wait
  rm -rf "$home"
}

main "$@"
