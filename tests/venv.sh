#!/bin/sh
# venv.sh - make .venv, with everything that the tests import
#
# In a folder of the project's own: a system's pip refuses to install (PEP 668).

set -u

main() {
  python=${PYTHON:-python3}
  cd "$(dirname "$0")/.." || exit 1
  if ! command -v "$python" >/dev/null 2>&1; then
    printf 'venv: no %s here (make test PYTHON=/path/to/python3)\n' "$python" >&2
    exit 1
  fi
  if ! [ -w . ]; then
    printf 'venv: no right to write here, to make .venv\n' >&2
    exit 1
  fi
  if [ -d .venv ] && ! [ -e .venv/ready ] && ! [ -e .venv/making ]; then
    printf 'venv: there is a .venv that is not of our making (remove it, or move it away)\n' >&2
    exit 1
  fi
  printf 'making .venv with %s (once)\n' "$("$python" --version 2>&1)"
  rm -rf .venv
  if ! "$python" -m venv .venv >/dev/null 2>&1; then
    # Debian keeps the half of venv that installs pip in a package of its own.
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
      export DEBIAN_FRONTEND=noninteractive
      { apt-get -qq update && apt-get -qq install --no-install-recommends -y "$version"; } >/dev/null 2>&1
    fi
    rm -rf .venv
    if ! "$python" -m venv .venv; then
      printf 'venv: %s cannot make .venv (install the package %s)\n' "$python" "$version" >&2
      exit 1
    fi
  fi
  # If this is interrupted, the next one may begin anew.
  touch .venv/making
  if ! .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]'; then
    printf 'venv: pip cannot install what the tests need (they come from a package index: is there a way to one?)\n' >&2
    exit 1
  fi
  touch .venv/ready
}

main "$@"
