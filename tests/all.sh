#!/bin/sh
# all.sh - every test there is, and the totals
#
# Runs all parts at the same time, even if one of them fails. Exit status 0 only if
# nothing failed.

set -u

# add TEXT: counts a line `N passed, N failed, N skipped` into the totals.
add() {
  # shellcheck disable=SC2086 # split into words
  set -- $1
  passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
}

# The totals of a pytest report in junit's format.
totals_of() {
  .venv/bin/python - "$1" <<'EOF'
import sys
import xml.etree.ElementTree as xml

suites = xml.parse(sys.argv[1]).getroot().findall("testsuite")
count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")}
failed = count["failures"] + count["errors"]
print(f"{count['tests'] - failed - count['skipped']} passed, {failed} failed, {count['skipped']} skipped")
EOF
}

# Stop what still runs, and leave nothing behind.
clean_up() {
  # shellcheck disable=SC2086 # split into pids
  [ -z "$lint$shells" ] || kill $lint $shells 2>/dev/null
  wait
  rm -rf "$home"
}

main() {
  cd "$(dirname "$0")/.." || exit 1
  passed=0 failed=0 skipped=0 status=0
  lint='' shells=''
  home=$(mktemp -d) || exit 1
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  sh tests/tools.sh

  # Next to pytest, whose tests wait most of the time.
  sh tests/lint.sh >"$home/lint" 2>&1 &
  lint=$!
  ./test_health.sh >"$home/shells" 2>&1 &
  shells=$!

  printf '== pytest\n'
  sh tests/pytest.sh .venv --durations=10 --junitxml="$home/report.xml" "$@" || status=1
  add "$(totals_of "$home/report.xml" || echo '0 passed, 1 failed, 0 skipped')"

  printf '\n== test_health.sh\n'
  wait "$shells" || status=1
  shells=''
  cat "$home/shells"
  case $(tail -n 1 "$home/shells") in
    [0-9]*' passed, '*' failed, '*' skipped') add "$(tail -n 1 "$home/shells")" ;;
    *) failed=$((failed + 1)) ;;
  esac

  printf '\n== lint\n'
  if wait "$lint"; then
    printf 'lint: nothing to say\n'
  else
    status=1
    printf 'lint: FAILED\n'
  fi
  lint=''
  cat "$home/lint"

  printf '\ntotal: %s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ] || status=1
  return $status
}

main "$@"
