#!/bin/sh
# venv.sh - make .venv, with everything that the tests import
#
# In a folder of the project's own: a system's pip refuses to install (PEP 668).

set -u

main() {
  python=${PYTHON:-python3}
  cd "$(dirname "$0")/.." || exit 1
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
  .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]' || exit 1
  touch .venv/ready
}

main "$@"
