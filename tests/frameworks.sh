#!/bin/sh
# frameworks.sh - the tests of an integration on older versions of its framework
#
# Each in a venv below build/, with the Python of .venv. The newest version that
# there is for it has `make test`.

set -u

# run NAME TESTS REQUIREMENT...: their tests with these versions. Fails if one does.
run() {
  name=$1 tests=$2
  shift 2
  home=build/frameworks/$name
  printf '\n== %s\n' "$name"
  if [ -z "$(find "$home/ready" -newer setup.py 2>/dev/null)" ]; then
    rm -rf "$home"
    .venv/bin/python -m venv "$home" || return 1
    "$home/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]' "$@" || return 1
    touch "$home/ready"
  fi
  sh tests/pytest.sh "$home" -p no:cacheprovider -m "not minute" "$tests"
}

main() {
  cd "$(dirname "$0")/.." || exit 1
  status=0 summary=''
  while read -r name tests requirements; do
    # shellcheck disable=SC2086 # split into requirements
    if run "$name" "$tests" $requirements </dev/null; then
      result=passed
    else
      result=FAILED status=1
    fi
    summary="$summary  $name: $result
"
  done <<EOF
Flask-2.3 tests/flask Flask==2.3.* Werkzeug==2.3.*
Flask-3.0 tests/flask Flask==3.0.* Werkzeug==3.0.*
Django-5.2.0 tests/django Django==5.2.0
EOF
  printf '\n%s' "$summary"
  exit $status
}

main "$@"
