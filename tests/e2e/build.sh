#!/bin/sh
# build.sh - a real kubelet (1.20.2) and a pause, built from Debian's source package
#
# Usage: build.sh [-h]
#
# Debian bookworm's package `kubernetes` holds the whole upstream source with all that
# it imports, so that no Go proxy is asked for anything. The result is kept outside the
# clone, in ${XDG_CACHE_HOME:-~/.cache}/liveness-e2e/<checksum of the source>, and is
# built again only when it is missing: two minutes on two cores. Prints that folder.

set -eu

source_sha256=b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc
source_version=1.20.5+really1.20.2

say() {
  printf 'build: %s\n' "$1" >&2
}

# fetch FOLDER: the source's tar file. Reads the machine's own apt sources, asked for
# source packages, and leaves /etc/apt and the package lists as they are.
fetch() {
  mkdir -p "$1/lists/partial" "$1/archives/partial"
  for file in /etc/apt/sources.list.d/*.sources; do
    # shellcheck disable=SC2016 # no expansion is meant
    [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file"
    echo
  done >"$1/apt.sources"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file"
  done >"$1/apt.list"
  mkdir "$1/parts"
  cp "$1/apt.sources" "$1/apt.list" "$1/parts"
  for step in 'update' 'source --download-only kubernetes'; do
    # shellcheck disable=SC2086 # split into words
    (cd "$1" && apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$1/parts" \
      -o Dir::State::lists="$1/lists" -o Dir::Cache="$1" -o Dir::Cache::archives="$1/archives" \
      -o APT::Sandbox::User=root -o Acquire::Retries=3 $step >&2)
  done
}

build() {
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  # One version of it is kept, whatever the newest is: the sum is that of this one.
  say 'fetching the source of kubernetes'
  fetch "$work"
  tar=$work/kubernetes_$source_version.orig.tar.gz
  echo "$source_sha256  $tar" | sha256sum --check --quiet >&2

  say 'unpacking'
  mkdir -p "$work/go/src/k8s.io"
  tar -C "$work/go/src/k8s.io" -xzf "$tar"
  mv "$work"/go/src/k8s.io/kubernetes-* "$work/go/src/k8s.io/kubernetes"
  rm -f "$tar"

  say 'building the kubelet (two minutes on two cores)'
  version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
  GOPATH=$work/go GOCACHE=$work/cache GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local GOFLAGS='' go build -trimpath \
    -tags 'providerless dockerless' -o "$work/kubelet" \
    -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" \
    k8s.io/kubernetes/cmd/kubelet >&2
  gcc -Os -static -DVERSION=3.2 -o "$work/pause" "$work/go/src/k8s.io/kubernetes/build/pause/linux/pause.c" >&2

  # Whole or not at all: whoever finds the kubelet there runs it.
  mkdir -p "$kept"
  mv "$work/pause" "$kept/pause"
  mv "$work/kubelet" "$kept/kubelet.new"
  mv "$kept/kubelet.new" "$kept/kubelet"
}

main() {
  case ${1:-} in
    -h | --help)
      sed -n '2{s/^# //;p}; 3,/^$/{s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
  esac
  kept=${XDG_CACHE_HOME:-$HOME/.cache}/liveness-e2e/$source_sha256
  if [ -x "$kept/kubelet" ] && [ -x "$kept/pause" ]; then
    say 'the kubelet is there'
  else
    build
  fi
  "$kept/kubelet" --version >&2
  printf '%s\n' "$kept"
}

main "$@"
