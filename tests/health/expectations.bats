#!/usr/bin/env bats
# Expectations: how many heartbeats of a role there must be.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# expect ROLE COUNT [PID START]: an expectation that is enforced.
expect() { lease "expect/$1" 4 3 "${3:-$pid}" "${4:-$start}" "$2"; }

# workers COUNT [ROLE]: heartbeats of a role, and no others of it.
workers() {
  local number
  rm -f "$dir/beat/${2:-worker}".*
  for ((number = 1; number <= $1; number++)); do beat "${2:-worker}.$number" 0 600; done
}

malformed() {
  clock
  # shellcheck disable=SC2059 # a format is what is asked for
  put expect/worker "${1//NOW/$now}"
  unhealthy "expectation 'worker' is malformed"
}

not_yet_enforced() {
  lease expect/worker "$1" "$2" "$pid" "$start" 2
  healthy
}

enforced() {
  lease expect/worker "$1" "$2" "$pid" "$start" 2
  unhealthy "0 of 2 'worker' heartbeats"
}

@test "a unit without expectations is healthy" {
  loaded
  mkdir "$dir/expect"
  healthy
  healthy ready
}

@test "an expectation is not enforced within its limit, the last second included" {
  loaded
  for age in 0 1 7 8; do in_one_second not_yet_enforced "$age" 8; done
  in_one_second enforced 9 8
  in_one_second not_yet_enforced 1 1
  in_one_second enforced 2 1
}

@test "an expectation from before a reboot is enforced" {
  loaded
  enforced -1000 60
  enforced -1000 999999999
  workers 2
  lease expect/worker -1000 60 "$pid" "$start" 2
  healthy
}

@test "as many heartbeats as are expected, or more, are enough" {
  loaded
  expect worker 3
  for count in 3 4 10; do
    workers "$count"
    healthy
    healthy ready
  done
}

@test "fewer heartbeats than are expected are a failure, which tells how many there are" {
  loaded
  expect worker 3
  for count in 0 1 2; do
    workers "$count"
    unhealthy "$count of 3 'worker' heartbeats"
    unhealthy "$count of 3 'worker' heartbeats" ready
  done
  expect worker 999999999
  unhealthy "2 of 999999999 'worker' heartbeats"
}

@test "heartbeats of other living processes count" {
  loaded
  other_process
  beat worker.1 0 600 "$other" "$born"
  beat worker.2 0 600
  expect worker 2
  healthy
  expect worker 3
  unhealthy "2 of 3 'worker' heartbeats"
}

@test "an expectation of another living process counts" {
  loaded
  other_process
  expect worker 1 "$other" "$born"
  unhealthy "0 of 1 'worker' heartbeats"
  workers 1
  healthy
}

@test "an expectation of a dead process is ignored, whatever its age" {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  for whose in "$dead $died" "$zombie $zombie_start" "$pid $((start + 1))" "$pid 0$start"; do
    for when in '0 600' '4 3' '-1000 60'; do
      for role in worker worker.a; do
        # shellcheck disable=SC2086 # split into age, ttl, pid and start
        lease "expect/$role" $when $whose 4
        healthy
        rm "$dir/expect/$role"
      done
    done
  done
}

@test "heartbeats of dead processes do not count" {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  workers 2
  beat worker.dead 0 600 "$dead" "$died"
  beat worker.zombie 0 600 "$zombie" "$zombie_start"
  beat worker.reused 0 600 "$pid" "$((start + 1))"
  expect worker 2
  healthy
  expect worker 3
  unhealthy "2 of 3 'worker' heartbeats"
}

@test "a stale or failed heartbeat is told before an expectation that is not met" {
  loaded
  workers 1
  expect worker 3
  beat worker.2 -1000 60
  unhealthy "heartbeat 'worker.2' is from the future"
  beat worker.2 0 60 "$pid" "$start" 7 'queue lost'
  unhealthy 'error 7: queue lost (worker.2)'
  silent worker.2 4 3
  rm "$dir/beat/worker.2"
  unhealthy "1 of 3 'worker' heartbeats"
}

@test "neither a plain name nor another role counts, nor another folder" {
  loaded
  workers 1
  beat worker 0 600
  beat work.1 0 600
  beat workers.1 0 600
  beat worker.a.1 0 600
  beat a.worker.1 0 600
  lease job/worker.2 0 600
  lease check/worker.2 0 600
  expect worker 2
  unhealthy "1 of 2 'worker' heartbeats"
  unhealthy "1 of 2 'worker' heartbeats" ready
  expect worker 1
  healthy
}

@test "a role may have dots in its name" {
  loaded
  workers 2 web.worker
  beat web.1 0 600
  expect web.worker 2
  expect web 1
  healthy
  expect web 2
  unhealthy "1 of 2 'web' heartbeats"
  expect web 1
  expect web.worker 3
  unhealthy "2 of 3 'web.worker' heartbeats"
}

@test "each expectation is enforced, and the first in byte order that is not met is told" {
  loaded
  workers 1 a
  workers 2 b
  expect a 1
  expect b 2
  healthy
  expect b 3
  unhealthy "2 of 3 'b' heartbeats"
  expect a 2
  has_the_words || return 0
  unhealthy "1 of 2 'a' heartbeats"
  expect Z 1
  unhealthy "0 of 1 'Z' heartbeats"
}

@test "an expectation is five numbers: at, ttl, pid, start, count" {
  loaded
  workers 9
  expect worker 1
  for text in '' ' ' '\n' NOW 'NOW 60' "NOW 60 $pid" "NOW 60 $pid $start" "NOW 60 $pid $start\n4" "NOW 60 $pid $start 1 2" "NOW\n60\n$pid\n$start\n1" \
    "NOW 60 $pid $start 1\r\n" "0NOW 60 $pid $start 1" "1234567890 60 $pid $start 1" "NOW 0 $pid $start 1" "NOW 060 $pid $start 1" \
    "NOW 60 0$pid $start 1" "NOW 60 12345678 $start 1" "NOW 60 $pid 123456789012345678901 1" "NOW 60 $pid $start x"; do
    malformed "$text"
  done
}

@test "the count of an expectation is 1 to 9 digits, with no zero in front" {
  loaded
  workers 1
  expect worker 1
  for count in 0 00 01 08 -1 +1 1.0 0x1 1e3 1234567890 4294967297 18446744073709551617 100000000000000000000 '*' '$1' count 'a[0]'; do
    malformed "NOW 60 $pid $start $count"
    # Enforced or not.
    malformed "1 1 $pid $start $count"
  done
}

@test "a malformed expectation is a failure even if its process is dead" {
  dead_process
  loaded
  lease expect/worker 0 60 "$dead" "$died"
  unhealthy "expectation 'worker' is malformed"
  lease expect/worker 0 60 "$dead" "$died" 0
  unhealthy "expectation 'worker' is malformed"
}

@test "a second line in an expectation is ignored" {
  loaded
  workers 1
  for text in 'four workers' '\033[31m' '7' '\n\n'; do
    mkdir -p "$dir/expect"
    put expect/worker "1 1 %s %s 1\n$text" "$pid" "$start"
    healthy
    put expect/worker "1 1 %s %s 2\n$text" "$pid" "$start"
    unhealthy "1 of 2 'worker' heartbeats"
  done
}

@test "files in expect/ whose names begin with a dot are not expectations" {
  loaded
  mkdir "$dir/expect"
  put expect/.worker.0123456789ab garbage
  mkfifo "$dir/expect/.fifo"
  healthy
}

@test "any other file in expect/ with a bad name is a failure" {
  local long
  printf -v long '%0101d' 0
  loaded
  for name in -x 'a b' '*' '?' '[a]' "it's" '$(id)' '#a' '~' $'new\nline' ' ' 'a%s' "$long"; do
    expect "$name" 1
    unhealthy "bad name in $dir/expect"
    rm -- "$dir/expect/$name"
  done
}

@test "expectations are looked at after jobs, and before ready and checks" {
  loaded
  expect worker 1
  put ready '1\ndraining'
  lease check/database 0 60 "$pid" "$start" 1 'connection refused'
  unhealthy "0 of 1 'worker' heartbeats" ready
  lease job/import -1000 60
  unhealthy "job 'import' is from the future" ready
  # Every expectation is read before the first is enforced.
  rm "$dir/job/import"
  expect z 0
  unhealthy "expectation 'z' is malformed"
}

@test "-v counts the heartbeats, and neither jobs nor checks nor expectations" {
  dead_process
  loaded
  workers 3
  beat worker.dead 0 60 "$dead" "$died"
  lease job/import 0 60
  lease job/import.2 0 60
  lease check/database 0 60
  expect worker 2
  for mode in live ready; do
    probe -v -d "$rundir" -u web "$mode"
    answered 0 "liveness: web: healthy: process $pid, error 0, fresh heartbeats: 3"$'\n' ''
  done
}

@test "a worker that appears while the probe reads is counted" {
  loaded
  workers 1
  expect worker 2
  under strace -qq -o "$tmp/held" -P "$dir/expect/worker" -e trace=open,openat -e inject=open,openat:delay_enter=1000000:when=1
  if ! "${before[@]}" true 2>/dev/null; then skip 'no strace here that can hold up a probe'; fi
  { eventually grep -q open "$tmp/held" && beat worker.2 0 600; } >/dev/null 2>&1 3>&- &
  by_options
  answered 0 '' ''
}

@test "expectations of several units are of each unit" {
  loaded
  workers 2
  expect worker 2
  unit db
  loaded
  workers 1
  expect worker 2
  probe -d "$rundir" -u web
  answered 0 '' ''
  probe -d "$rundir" -u web -u db
  answered 1 '' $'liveness: db: 1 of 2 \'worker\' heartbeats\n'
  rm "$dir/expect/worker"
  probe -d "$rundir" -u web -u db
  answered 0 '' ''
}
