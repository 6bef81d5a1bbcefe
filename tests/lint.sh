#!/bin/sh
# lint.sh - ruff, mypy and shellcheck on everything; silent if all is well

set -u

main() {
  cd "$(dirname "$0")/.." || exit 1
  status=0
  .venv/bin/ruff check --quiet . || status=1
  .venv/bin/ruff format --quiet --check . || { .venv/bin/ruff format --quiet --diff .; status=1; }
  .venv/bin/mypy --no-error-summary || status=1
  if command -v shellcheck >/dev/null 2>&1; then
    shellcheck health.sh test_health.sh .ci/run tests/*.sh || status=1
    shellcheck --shell=bash tests/health/*.bats tests/health/*.bash || status=1
  else
    printf 'lint: shellcheck is not here, and the shell scripts were not looked at\n'
  fi
  exit $status
}

main "$@"
