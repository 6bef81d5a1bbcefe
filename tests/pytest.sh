#!/bin/sh
# pytest.sh - pytest, with two workers for each core
#
# Usage: pytest.sh VENV [ARGUMENT...]
#
# Most tests wait for a process or a clock, so two workers keep a core busy. The
# tests that take a minute begin first (tests/conftest.py), and a worker that has
# nothing left to do takes tests from another one.

set -u

venv=$1
shift
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || cores=2
[ "$cores" -le 4 ] || cores=4
exec "$venv/bin/python" -m pytest --quiet -n $((2 * cores)) --dist worksteal "$@"
