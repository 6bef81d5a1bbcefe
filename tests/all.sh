#!/bin/sh
# all.sh - every test there is, and the totals
#
# Runs all parts, whatever becomes of one. Exit status 0 only if nothing failed.

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

main() {
  cd "$(dirname "$0")/.." || exit 1
  passed=0 failed=0 skipped=0 status=0
  home=$(mktemp -d) || exit 1
  trap 'rm -rf "$home"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  sh tests/tools.sh

  printf '== lint\n'
  if sh tests/lint.sh; then
    printf 'lint: nothing to say\n'
  else
    status=1
    printf 'lint: FAILED\n'
  fi

  printf '\n== pytest\n'
  .venv/bin/python -m pytest --quiet --junitxml="$home/report.xml" "$@" || status=1
  add "$(totals_of "$home/report.xml" || echo '0 passed, 1 failed, 0 skipped')"

  printf '\n== test_health.sh\n'
  { ./test_health.sh || echo failed >"$home/failed"; } | tee "$home/shells"
  [ ! -e "$home/failed" ] || status=1
  case $(tail -n 1 "$home/shells") in
    [0-9]*' passed, '*' failed, '*' skipped') add "$(tail -n 1 "$home/shells")" ;;
    *) failed=$((failed + 1)) ;;
  esac

  printf '\ntotal: %s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ] || status=1
  exit $status
}

main "$@"
