#!/usr/bin/env bats
# The short way: what is plainly healthy is decided by the first lines of the script,
# before a shell has read the rest. That it decides rightly is shown by every other
# test here, which probes each state by both ways.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case

load helper

# cut_short: probe from here on with the first lines alone; 3 is the answer of the rest.
cut_short() {
  sed '/^\[ -z "\$verdict" \]/,$d' "$HEALTH_SH" >"$tmp/short.sh"
  echo 'exit 3' >>"$tmp/short.sh"
  HEALTH_SH=$tmp/short.sh
  export LIVENESS_RUNDIR=$rundir LIVENESS_UNIT_NAME=$unit
}

# decides [MODE]: it is healthy, and the short way says so.
decides() {
  probe "$@"
  answered 0 '' ''
}

# leaves [ARGUMENT...]: the short way says nothing.
leaves() {
  probe "$@"
  answered 3 '' ''
}

@test "a healthy unit is decided the short way, with heartbeats and without" {
  loaded
  cut_short
  decides
  decides live
  decides ready
  put ready 0
  decides ready
  beat main 0 30
  decides
  beat worker.1 0 30
  beat worker.2 1 30
  decides ready
}

@test "a unit named by the hostname is decided the short way" {
  read -r name </proc/sys/kernel/hostname
  unit "$name"
  loaded
  cut_short
  unset LIVENESS_UNIT_NAME
  decides
}

@test "whatever is not plainly healthy is left to the long way" {
  loaded
  cut_short
  for mode in live ready; do
    put error 1
    leaves "$mode"
    put error 0
    rm "$dir/start"
    leaves "$mode"
    put start 1
    leaves "$mode"
    put start "$start"
    beat main 40 30
    leaves "$mode"
    beat worker.1 0 30
    leaves "$mode"
    rm -r "$dir/beat"
  done
  put ready 1
  decides
  leaves ready
  rm "$dir/ready"
  mkfifo "$dir/ready"
  leaves ready
}

@test "a run directory of any other form is left to the long way, which knows whether it can be" {
  mkdir "$rundir/a b"
  ln -s "$rundir" "$tmp/link"
  loaded
  cut_short
  for odd in run "$rundir"$'\n' "$rundir/a b/.."; do
    export LIVENESS_RUNDIR=$odd
    leaves
  done
  export LIVENESS_RUNDIR=$tmp/link
  decides
}

@test "a unit of a name that cannot be is left to the long way, even where there is one" {
  local long
  long=$(printf '%201s' '')
  for name in .web -web 'we b' "${long// /x}" 'a/b'; do
    unit "$name"
    loaded
    HEALTH_SH=$BATS_TEST_DIRNAME/../../health.sh
    cut_short
    leaves
  done
}

@test "options are left to the long way" {
  loaded
  cut_short
  leaves -v
  leaves -h
  leaves -u "$unit"
  leaves -d "$rundir" live
  leaves ready live
  leaves ''
}

@test "a process that names itself so that its stat looks like another's is left to the long way" {
  sleeper
  cp "$(command -v sleep)" "$tmp/a) S 1"
  "$tmp/a) S 1" 600 >/dev/null 2>&1 3>&- &
  started $!
  eventually is_called 'a) S 1' "$pid"
  loaded "$pid"
  healthy
  # What would be its start if the first bracket ended its name.
  read -r stat <"/proc/$pid/stat"
  # shellcheck disable=SC2086 # split into fields
  set -- ${stat#*') '}
  [ "$start" != "${20}" ]
  put start "${20}"
  unhealthy "pid $pid belongs to another process"
  cut_short
  leaves
}

@test "the short way reads in the order of the rules, and looks at each file just before" {
  if ! command -v strace >/dev/null; then skip 'no strace'; fi
  if ! strace -o /dev/null true 2>/dev/null; then skip 'strace is not allowed here'; fi
  loaded
  beat main 0 30
  put ready 0
  cut_short
  under strace -qq -e trace=%file -o "$tmp/trace"
  decides ready
  # Of each file: what was done to it last before it was opened.
  sed -n "s,^\([a-z0-9]*\)(.*\"$dir/\([^\"]*\)\".*,\1 \2,p; s,^\([a-z0-9]*\)(.*\"/proc/[0-9]*/stat\".*,\1 stat,p" \
    "$tmp/trace" >"$tmp/order"
  local file
  for file in pid start error beat/main ready; do
    grep -B1 "^open.* $file\$" "$tmp/order" | head -n 1 | grep -Eq "^[a-z]*(stat|access)[a-z0-9]* $file\$"
  done
  [ "$(sed -n 's/^open[a-z]* //p' "$tmp/order" | grep -v '^beat/*$' | tr '\n' ' ')" = 'pid stat start error beat/main ready ' ]
}

@test "the short way starts no process" {
  if ! command -v strace >/dev/null; then skip 'no strace'; fi
  if ! strace -o /dev/null true 2>/dev/null; then skip 'strace is not allowed here'; fi
  loaded
  beat main 0 30
  cut_short
  under strace -f -qq -e trace=process -o "$tmp/trace"
  decides
  [ "$(grep -c execve "$tmp/trace")" -eq 1 ]
  [ "$(grep -Ec 'clone|fork' "$tmp/trace")" -eq 0 ]
}
