#!/usr/bin/env bats
# The short way: what is plainly healthy is decided by the first lines of the script,
# before a shell has read the rest. That it decides rightly is shown by every other
# test here, which probes each state by both ways.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2030,SC2031 # every test has its own

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

@test "a unit with jobs and checks is decided the short way, if they are all of its own process" {
  local long
  printf -v long '%099d' 0
  loaded
  cut_short
  lease job/import 0 30
  lease job/4711-1 1 30
  lease check/database 0 30
  lease check/database.1 0 30
  lease "job/$long" 0 30
  decides
  decides ready
  mkdir "$dir/beat"
  decides
  decides ready
  beat main 0 30
  decides
  decides ready
  rm "$dir/job/"* "$dir/check/"*
  decides
  decides ready
}

@test "a lease of another process is left to the long way, in each folder" {
  dead_process
  loaded
  other_process
  cut_short
  for file in beat/main beat/worker.1 job/import check/database check/database.1; do
    for whose in "$other $born" "$dead $died" "$pid $((start + 1))" "$pid 0$start"; do
      # shellcheck disable=SC2086 # split into pid and start
      lease "$file" 0 30 $whose
      leaves
      leaves ready
    done
    lease "$file" 0 30
    decides
    decides ready
  done
}

@test "a lease with a code is left to the long way, in each folder" {
  loaded
  cut_short
  for file in beat/main job/import check/database; do
    for code in 0 1 00 x; do
      lease "$file" 0 30 "$pid" "$start" "$code"
      leaves
      leaves ready
    done
    lease "$file" 0 30
    decides
    decides ready
  done
}

@test "a lease that is stale, from the future or malformed is left to the long way, in each folder" {
  loaded
  cut_short
  for file in beat/main job/import check/database; do
    for when in '4 3' '-1000 30' '-1000 999999999' '0 0' '0 030' '0 1234567890' '0 x'; do
      # shellcheck disable=SC2086 # split into age and ttl
      lease "$file" $when
      leaves
      leaves ready
    done
    for text in '' '\n' 1 '1 999999999' '1 999999999 %s' '1 999999999 %s %s 1' '0%s' '01 999999999 %s %s' '1234567890 1 %s %s' \
      '* 999999999 %s %s' '1 999999999 %s %s\r' 'x' '1\n999999999\n%s\n%s'; do
      put "$file" "$text" "$pid" "$start"
      leaves
      leaves ready
    done
    put "$file" '1 999999999 %s %s' "$pid" "$start"
    decides ready
  done
}

@test "what is not a file is left to the long way, in each folder and in its place" {
  loaded
  cut_short
  for folder in beat job check; do
    mkdir "$dir/$folder"
    for path in "$dir/$folder/x" "$dir/$folder"; do
      rm -rf "$path"
      for make in mkfifo 'ln -s nowhere' 'ln -s x' 'ln -s /dev/null' 'ln -s /dev/zero'; do
        $make "$path"
        leaves
        leaves ready
        rm "$path"
      done
    done
    touch "$dir/$folder"
    leaves
    rm "$dir/$folder"
    mkdir -p "$dir/$folder/x"
    leaves
    rmdir "$dir/$folder/x"
    decides ready
  done
}

@test "a bad name is left to the long way, in each folder" {
  local long
  printf -v long '%0101d' 0
  loaded
  cut_short
  for folder in beat job check; do
    for name in -x 'a b' '*' '?' '[a]' $'a\nb' 'é' "$long"; do
      lease "$folder/$name" 0 30
      leaves
      rm -- "$dir/$folder/$name"
    done
    # This is also what a pattern looks like that matches nothing.
    ln -s nowhere "$dir/$folder/*"
    leaves
    rm "$dir/$folder/*"
    lease "$folder/.hidden" 0 30
    decides ready
  done
}

@test "an expectation is left to the long way, even where it is met or not yet enforced" {
  loaded
  cut_short
  beat worker.1 0 30
  lease expect/worker 0 30 "$pid" "$start" 1
  leaves
  leaves ready
  lease expect/worker 4 3 "$pid" "$start" 1
  leaves
  rm "$dir/expect/worker"
  leaves
  rmdir "$dir/expect"
  decides
}

@test "a unit whose folder has an entry of any other name is left to the long way" {
  loaded
  cut_short
  for entry in x Beat beat2 pid.old '*' 'a b' $'a\nb' -; do
    touch "$dir/$entry"
    leaves
    leaves ready
    rm -- "${dir:?}/$entry"
    mkdir "$dir/$entry"
    leaves
    rmdir "${dir:?}/$entry"
  done
  touch "$dir/.pid.0123456789ab"
  decides
}

@test "an empty folder that can be listed but not entered is left to the long way" {
  loaded
  for folder in beat job check; do mkdir "$dir/$folder"; done
  as_nobody
  cut_short
  decides ready
  for folder in beat job check; do
    for mode in 444 111 000; do
      chmod "$mode" "$dir/$folder"
      leaves
      leaves ready
    done
    chmod 755 "$dir/$folder"
  done
}

@test "a folder that cannot be listed is left to the long way, even if patterns that match nothing vanish" {
  loaded
  lease beat/main 4 3
  as_nobody
  cut_short
  for options in '' BASHOPTS=nullglob; do
    if [ -n "$options" ]; then under "${before[@]}" env $options; fi
    for folder in "$dir" "$dir/beat"; do
      chmod 111 "$folder"
      leaves
      chmod 755 "$folder"
    done
    for make in touch mkfifo 'ln -s nowhere'; do
      mv "$dir/beat" "$tmp/kept"
      $make "$dir/beat"
      leaves
      rm "$dir/beat"
      mv "$tmp/kept" "$dir/beat"
    done
  done
}

@test "a run directory with .. is left to the long way, which follows links" {
  mkdir -p "$tmp/elsewhere/folder"
  ln -s "$tmp/elsewhere/folder" "$rundir/link"
  loaded
  # If the link were not followed, this would be the healthy unit above.
  rundir=$rundir/link/..
  unhealthy "not loaded (no pid in $rundir/$unit)"
  cut_short
  leaves
  unit "$unit"
  loaded
  leaves
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
  lease job/import 0 30
  lease check/database 0 30
  put ready 0
  cut_short
  under strace -qq -e trace=%file -o "$tmp/trace"
  decides ready
  # Of each file: what was done to it last before it was opened. The paths are relative.
  local paths='pid\|start\|error\|ready\|beat/main\|job/import\|check/database'
  sed -n "s,^\([a-z0-9]*\)(.*\"\./\($paths\)\".*,\1 \2,p; s,^\([a-z0-9]*\)(.*\"\($paths\)\".*,\1 \2,p
    s,^\([a-z0-9]*\)(.*\"/proc/[0-9]*/stat\".*,\1 stat,p" "$tmp/trace" >"$tmp/order"
  cat "$tmp/order"
  local file
  for file in pid start error beat/main job/import check/database ready; do
    grep -B1 "^open.* $file\$" "$tmp/order" | head -n 1 | grep -Eq "^[a-z]*(stat|access)[a-z0-9]* $file\$"
  done
  # Identity before the error, and the error before what only counts if there is none.
  [ "$(sed -n 's/^open[a-z]* //p' "$tmp/order" | tr '\n' ' ')" = 'pid stat start error ready beat/main check/database job/import ' ]
}

@test "the short way starts no process" {
  if ! command -v strace >/dev/null; then skip 'no strace'; fi
  if ! strace -o /dev/null true 2>/dev/null; then skip 'strace is not allowed here'; fi
  loaded
  beat main 0 30
  lease job/import 0 30
  lease check/database 0 30
  cut_short
  under strace -f -qq -e trace=process -o "$tmp/trace"
  decides
  [ "$(grep -c execve "$tmp/trace")" -eq 1 ]
  [ "$(grep -Ec 'clone|fork' "$tmp/trace")" -eq 0 ]
}
