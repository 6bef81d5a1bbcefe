#!/bin/sh
# pythons.sh - pytest on each Python from 3.10 to 3.13 that is found here
#
# Looks on PATH and among the versions of pyenv, each in a venv below build/. That
# of .venv is left out, `make test` has it. Names those that are not found. Tests
# that take a minute are for `make test`.

set -u

# find_python VERSION: one that starts, in $python.
find_python() {
  for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/"python$1"; do
    if "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

# run VERSION: its last line in $said. Fails if a test does.
run() {
  home=build/pythons/$1
  if [ -z "$(find "$home/ready" -newer setup.py 2>/dev/null)" ]; then
    rm -rf "$home"
    "$python" -m venv "$home" || return 1
    "$home/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]' || return 1
    touch "$home/ready"
  fi
  # Of the frameworks 3.13 has the same versions as 3.12.
  case $1 in
    3.12) set -- --ignore=tests/flask --ignore=tests/django ;;
    *) set -- ;;
  esac
  sh tests/pytest.sh "$home" -p no:cacheprovider -m "not minute" "$@"
}

main() {
  cd "$(dirname "$0")/.." || exit 1
  ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  status=0 summary=''
  for version in 3.10 3.11 3.12 3.13; do
    if [ "$version" = "$ours" ]; then
      result='that of make test'
    elif ! find_python "$version"; then
      result='not found here, and left out'
    else
      printf '\n== Python %s\n' "$version"
      if run "$version"; then
        result='passed'
      else
        result='FAILED' status=1
      fi
    fi
    summary="$summary  Python $version: $result
"
  done
  printf '\n%s' "$summary"
  exit $status
}

main "$@"
