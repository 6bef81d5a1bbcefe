#!/usr/bin/env bats
# Jobs: pieces of work that must end in time.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

late() { stale live "job '${1#job/}' has run" "$@"; }

on_time() {
  lease job/import "$1" "$2"
  healthy
}

malformed() {
  clock
  # shellcheck disable=SC2059 # a format is what is asked for
  put job/import "${1//NOW/$now}"
  unhealthy "job 'import' is malformed"
}

@test "a unit without jobs is healthy" {
  loaded
  mkdir "$dir/job"
  healthy
  healthy ready
}

@test "a job may run up to its limit, the last second included" {
  loaded
  for age in 0 1 7 8; do in_one_second on_time "$age" 8; done
  in_one_second on_time 1 1
  on_time 5 999999999
}

@test "a job that has run for longer than its limit is a failure" {
  loaded
  late job/import 4 3
  late job/import 9 1
  unhealthy_ready() { unhealthy "job 'import' has run for 4 s (limit 3 s)" ready; }
  again() { lease job/import 4 3 && unhealthy_ready; }
  in_one_second again
  lease job/import 0 3
  healthy
}

@test "a job of another living process counts" {
  loaded
  other_process
  lease job/import 0 60 "$other" "$born"
  healthy
  late job/import 4 3 "$other" "$born"
  kill -STOP "$other"
  eventually has_state T "$other"
  late job/import 4 3 "$other" "$born"
}

@test "a job whose process is dead is ignored, whatever its age and its name" {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  for whose in "$dead $died" "$zombie $zombie_start" "$pid $((start + 1))" "$pid 0$start"; do
    for name in import worker.1 4711-1; do
      for when in '0 600' '4 3' '-1000 60'; do
        # shellcheck disable=SC2086 # split into age, ttl, pid and start
        lease "job/$name" $when $whose
        healthy
        healthy ready
        rm "$dir/job/$name"
      done
    done
  done
}

@test "a job with a name of role and instance is a job like any other" {
  dead_process
  loaded
  lease job/import.1 4 3 "$dead" "$died"
  healthy
  late job/import.2 4 3
  rm "$dir/job/import.2"
  lease job/import.3 0 60
  healthy
}

@test "a job from before a reboot is a failure" {
  loaded
  for at in -1000 -100000; do
    lease job/import "$at" 999999999
    unhealthy "job 'import' is from the future"
  done
}

@test "a job is four numbers: at, ttl, pid, start" {
  loaded
  lease job/import 0 60
  for text in '' ' ' '\n' "\nNOW 60 $pid $start" NOW 'NOW 60' "NOW 60 $pid" "NOW 60 $pid $start x" "NOW 60 $pid $start 0 0" "NOW\n60\n$pid\n$start" \
    "NOW,60,$pid,$start" "NOW 60 $pid $start\r\n" "-1 60 $pid $start" "0NOW 60 $pid $start" "1234567890 60 $pid $start" "NOW 0 $pid $start" \
    "NOW 060 $pid $start" "NOW 1234567890 $pid $start" "NOW 60 0 $start" "NOW 60 0$pid $start" "NOW 60 12345678 $start" "NOW 60 $pid -1" \
    "NOW 60 $pid 123456789012345678901" '* 60 1 1' 'NOW 60 $(id) 1'; do
    malformed "$text"
  done
}

@test "a job has no code, except 0" {
  loaded
  lease job/import 0 60 "$pid" "$start" 0
  healthy
  for code in 1 7 00 01 99999999999999999999 100000000000000000000 x; do
    malformed "NOW 60 $pid $start $code"
    malformed "NOW 60 $pid $start $code\nlost"
  done
}

@test "a malformed job is a failure even if its process is dead" {
  dead_process
  loaded
  lease job/import 0 60 "$dead" "$died" 7
  unhealthy "job 'import' is malformed"
}

@test "a second line in a job is ignored" {
  loaded
  for text in '' 'copying' '\033[31m' '7' '\n\n'; do
    clock
    mkdir -p "$dir/job"
    put job/import "%s 60 %s %s\n$text" "$now" "$pid" "$start"
    healthy
  done
}

@test "files in job/ whose names begin with a dot are not jobs" {
  loaded
  mkdir "$dir/job"
  put job/.import.0123456789ab garbage
  mkfifo "$dir/job/.fifo"
  healthy
}

@test "any other file in job/ with a bad name is a failure" {
  local long
  printf -v long '%0101d' 0
  loaded
  for name in -x 'a b' '*' '?' '[a]' "it's" '$(id)' '#a' '~' $'new\nline' ' ' 'a%s' "$long"; do
    lease "job/$name" 0 60
    unhealthy "bad name in $dir/job"
    rm -- "$dir/job/$name"
  done
}

@test "a bad name in job/ is a failure even if the lease is of a dead process" {
  dead_process
  loaded
  lease 'job/a b' 0 60 "$dead" "$died"
  unhealthy "bad name in $dir/job"
}

@test "of several late jobs, the first in byte order is told" {
  has_the_words || skip 'the words are not promised'
  loaded
  for name in a Z _ 9; do lease "job/$name" -1000 60; done
  for name in 9 Z _ a; do
    unhealthy "job '$name' is from the future"
    rm "$dir/job/$name"
  done
}

@test "jobs are looked at after heartbeats" {
  loaded
  lease job/import -1000 60
  beat main 0 60 "$pid" "$start" 7
  unhealthy 'error 7 (main)'
  beat main 0 60
  unhealthy "job 'import' is from the future"
}

@test "jobs that begin and end while the probe runs are no failure" {
  loaded
  lease job/always 0 600
  begin_and_end >/dev/null 2>&1 3>&- &
  disown
  pids+=($!)
  for _ in {1..15}; do healthy; done
}

begin_and_end() {
  while :; do
    for each in 1 2 3 4 5 6 7 8 9; do
      echo "$now 600 $pid $start" >"$dir/job/.new"
      mv "$dir/job/.new" "$dir/job/$each"
    done
    rm "$dir"/job/[1-9]
  done
}

@test "a job that begins while the probe is held up is not from the future" {
  loaded
  lease job/import 0 600
  under strace -qq -o /dev/null -P "$dir/job/import" -e trace=open,openat -e inject=open,openat:delay_enter=1200000:when=1
  if ! "${before[@]}" true 2>/dev/null; then skip 'no strace here that can hold up a probe'; fi
  begin_again >/dev/null 2>&1 3>&- &
  disown
  pids+=($!)
  healthy
}

begin_again() {
  while :; do
    clock
    echo "$now 600 $pid $start" >"$dir/job/.new"
    mv "$dir/job/.new" "$dir/job/import"
  done
}
