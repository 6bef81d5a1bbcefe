#!/usr/bin/env bats
# Heartbeats: a promise to be kept in time, and workers that come and go.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# in_time AGE TTL: a beat of this age is passed.
in_time() {
  beat main "$1" "$2"
  healthy
}

from_the_future() {
  beat main -1 60
  unhealthy "heartbeat 'main' is from the future"
}

malformed() {
  clock
  # shellcheck disable=SC2059 # a format is what is asked for
  put beat/main "${1//NOW/$now}"
  unhealthy "heartbeat 'main' is malformed"
}

@test "no heartbeats are no failure" {
  loaded
  healthy
  mkdir "$dir/beat"
  healthy
}

@test "a beat is fresh up to its limit, the last second included" {
  loaded
  for age in 0 1 7 8; do in_one_second in_time "$age" 8; done
  in_one_second in_time 0 1
  in_one_second in_time 1 1
  in_time 5 999999999
}

@test "one second past its limit a beat is stale" {
  loaded
  silent main 4 3
  silent main 2 1
}

@test "a stale beat is told with its age and its limit" {
  loaded
  silent main 9 8
  silent consumer 9 1
  silent a-b_c 5 4
}

@test "a beat from before a reboot is stale" {
  loaded
  in_one_second from_the_future
  beat main -1000 60
  unhealthy "heartbeat 'main' is from the future"
  beat main -1000 999999999
  unhealthy "heartbeat 'main' is from the future"
  put beat/main '999999999 60 %s %s\n' "$pid" "$start"
  unhealthy "heartbeat 'main' is from the future"
}

@test "a beat is four numbers, at, ttl, pid, start, and perhaps a code" {
  loaded
  beat main 0 60
  for text in '' ' ' '\n' "\nNOW 60 $pid $start" NOW 'NOW 60' "NOW 60 $pid" "NOW 60 $pid $start x" "NOW 60 $pid $start 1 2" "NOW 60 $pid $start 0 0" "NOW\n60\n$pid\n$start" \
    "NOW,60,$pid,$start" "NOW 60 $pid $start\r\n" "NOW\r60 $pid $start" "NOW\f60 $pid $start"; do
    malformed "$text"
  done
}

@test "the time of a beat is at most nine digits, with no zero in front" {
  loaded
  beat main 0 60
  for at in -NOW +NOW -1 NOW.5 NOWx xNOW 0NOW 00 01 08 1234567890 4294967296 18446744073709551616 '*' 'now' 'now-1' 'a[0]' '1+1' '(1)' '1e3' 0x10; do
    malformed "$at 60 $pid $start"
  done
}

@test "a beat of the first second after the boot is well formed" {
  loaded
  mkdir "$dir/beat"
  put beat/main '0 999999999 %s %s' "$pid" "$start"
  healthy
}

@test "the limit of a beat is at least one second, at most nine digits, with no zero in front" {
  loaded
  beat main 0 60
  for ttl in 0 00 -1 +60 060 08 60.0 60s 1e3 0x10 1234567890 4294967296 4294967356 18446744073709551676 '*' ttl inf 'a[0]'; do
    malformed "NOW $ttl $pid $start"
  done
}

@test "the process of a beat is a pid and a start" {
  loaded
  beat main 0 60
  for whose in "0 $start" "0$pid $start" "-1 $start" "12345678 $start" "x $start" "self $start" "../1 $start" "* $start" \
    "$pid -1" "$pid x" "$pid 1.0" "$pid 123456789012345678901" "$pid *"; do
    malformed "NOW 60 $whose"
  done
}

@test "blanks and tabs between and around the numbers of a beat, and lines after them, are no matter" {
  loaded
  beat main 0 60
  for text in '%s 60 %s %s' '  %s \t60  %s\t\t%s \n' '%s 60 %s %s\n\n' '%s 60 %s %s\nmore\n'; do
    clock
    put beat/main "$text" "$now" "$pid" "$start"
    healthy
  done
}

# each_dead_owner: the owners that a lease may have and that count for nothing, one a line.
each_dead_owner() {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  printf '%s %s\n' "$dead" "$died" "$zombie" "$zombie_start" "$pid" "$((start + 1))" "$pid" "0$start" 9999999 1 >"$tmp/owners"
}

@test "a heartbeat of a dead process is a failure, whatever its age and its code" {
  each_dead_owner
  while read -r owner owner_start; do
    for when in '0 600' '4 3' '-1000 60'; do
      for code in '' 0 7; do
        # shellcheck disable=SC2086 # split into age and ttl
        beat main $when "$owner" "$owner_start" "$code" ${code:+lost}
        unhealthy "heartbeat 'main': process $owner is gone"
      done
    done
  done <"$tmp/owners"
  beat main 0 600
  healthy
}

@test "a worker of a dead process is passed over while another of its role is alive and fresh, whatever its age and its code" {
  each_dead_owner
  other_process
  beat worker.5 0 600 "$other" "$born"
  while read -r owner owner_start; do
    for name in worker.1 worker.9; do
      for when in '0 600' '4 3' '-1000 60'; do
        for code in '' 7; do
          # shellcheck disable=SC2086 # split into age and ttl
          beat "$name" $when "$owner" "$owner_start" "$code" ${code:+lost}
          healthy
        done
      done
    done
  done <"$tmp/owners"
  # The first of them is told, which is one that lives.
  beat worker.5 0 600 "$other" "$born" 7 'queue lost'
  unhealthy 'error 7: queue lost (worker.5)'
  rm "$dir/beat/worker.5"
  unhealthy "no heartbeat of any 'worker'"
}

@test "a worker of a dead process is a failure if none of its role is left, even if it is fresh" {
  each_dead_owner
  while read -r owner owner_start; do
    beat worker.1 0 600 "$owner" "$owner_start"
    unhealthy "no heartbeat of any 'worker'"
  done <"$tmp/owners"
}

@test "the unit's own process is looked up once, whatever number of leases it has" {
  if ! strace -o /dev/null true 2>/dev/null; then skip 'no strace here'; fi
  loaded
  for name in main worker.1 worker.2; do beat "$name" 0 600; done
  lease job/import 0 600
  lease check/database 0 600
  lease expect/worker 4 3 "$pid" "$start" 2
  under strace -qq -e trace=open,openat -o "$tmp/trace"
  healthy ready
  [ "$(grep -c "\"/proc/$pid/stat\"" "$tmp/trace")" -eq 1 ]
}

@test "a heartbeat of any living process counts" {
  loaded
  other_process
  beat main 0 600 "$other" "$born"
  beat worker.1 0 600 "$other" "$born"
  healthy
  silent main 4 3 "$other" "$born"
}

@test "a heartbeat with a code is an error, which is told with its reason and its name" {
  loaded
  beat main 0 600 "$pid" "$start" 7 'queue lost'
  unhealthy "error 7: queue lost (main)"
  unhealthy "error 7: queue lost (main)" ready
  beat main 0 600 "$pid" "$start" 7
  unhealthy 'error 7 (main)'
  beat main 0 600 "$pid" "$start" 0 'all is well'
  healthy
  beat worker.1 0 600 "$pid" "$start" 8 'no database'
  beat worker.2 0 600
  unhealthy 'error 8: no database (worker.1)'
}

@test "a heartbeat of another process may have a code" {
  loaded
  other_process
  beat main 0 600 "$other" "$born" 7 'queue lost'
  unhealthy "error 7: queue lost (main)"
}

@test "the code of a heartbeat is one to twenty digits" {
  loaded
  beat main 0 60
  for code in x 7x x7 -7 +7 0x7 7.0 '7,' '*' '$7' 100000000000000000000 000000000000000000000; do
    malformed "NOW 60 $pid $start $code"
    malformed "NOW 60 $pid $start $code\nlost"
  done
  for code in 1 00 08 255 4294967296 18446744073709551616 99999999999999999999; do
    beat main 0 60 "$pid" "$start" "$code"
    unhealthy "error $code (main)"
  done
}

@test "the reason of a heartbeat is printed as it stands, and cut at 160 bytes" {
  local long
  printf -v long '%0160d' 0
  loaded
  for reason in '%s %d %n' '\n \033 \c' '$(id) `id`' '* ? [a]' '-e' '~' "'" '"' '; id & id'; do
    beat main 0 60 "$pid" "$start" 7 "$reason"
    unhealthy "error 7: $reason (main)"
  done
  beat main 0 60 "$pid" "$start" 7 $' \t queue  lost \t \nand more'
  unhealthy 'error 7: queue  lost (main)'
  beat main 0 60 "$pid" "$start" 7 "$long"
  unhealthy "error 7: $long (main)"
  beat main 0 60 "$pid" "$start" 7 "${long}1"
  unhealthy "error 7: $long (main)"
}

@test "the reason of a heartbeat is not printed if it is not printable ASCII" {
  loaded
  for reason in $'\033[31mred' $'a\rb' $'a\tb' $'\177' $'\001' ' ' $'lost\r'; do
    beat main 0 60 "$pid" "$start" 7 "$reason"
    unhealthy 'error 7 (main)'
  done
  skip_for yash 'yash reads text only'
  for reason in 'café' $'\377' $'\302\233'; do
    beat main 0 60 "$pid" "$start" 7 "$reason"
    unhealthy 'error 7 (main)'
  done
}

@test "a stale heartbeat is told as stale even if it has a code" {
  loaded
  silent main 4 3 "$pid" "$start" 7 'queue lost'
  beat main -1000 60 "$pid" "$start" 7 'queue lost'
  unhealthy "heartbeat 'main' is from the future"
}

@test "of several bad heartbeats, the first in byte order is told" {
  has_the_words || skip 'the words are not promised'
  loaded
  beat a.1 0 60 "$pid" "$start" 1
  beat Z 0 60 "$pid" "$start" 2
  beat _ 0 60 "$pid" "$start" 3
  beat 9 0 60 "$pid" "$start" 4
  for told in '4 (9)' '2 (Z)' '3 (_)' '1 (a.1)'; do
    unhealthy "error $told"
    name=${told#* \(}
    rm "$dir/beat/${name%)}"
  done
  healthy
}

@test "one stale heartbeat among fresh ones is a failure" {
  loaded
  beat a 0 60
  beat c 0 60
  silent b 4 3
  beat b 0 60
  healthy
}

@test "a dead heartbeat of a plain name is a failure whatever other heartbeats there are" {
  dead_process
  loaded
  beat other 0 60
  beat main.1 0 60
  for whose in "$dead $died" "$pid $((start + 1))"; do
    # shellcheck disable=SC2086 # split into pid and start
    beat main 4 3 $whose
    unhealthy "heartbeat 'main': process ${whose% *} is gone"
  done
  silent main 4 3
}

@test "a worker that is buried is passed over while another of its role is fresh" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 0 60
  beat worker.2 4 3 "$dead" "$died"
  healthy
  # Whichever comes first in the folder.
  beat worker.0 4 3 "$dead" "$died"
  beat worker.9 9 1 "$dead" "$died"
  healthy
}

@test "a buried worker's beat from before a reboot is passed over, too" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 0 60
  beat worker.2 -1000 30 "$dead" "$died"
  healthy
}

@test "a stale worker that lives is a failure" {
  loaded
  beat worker.1 0 60
  silent worker.2 4 3
  beat worker.2 -1000 30
  unhealthy "heartbeat 'worker.2' is from the future"
}

@test "a stopped worker is a failure" {
  loaded
  beat worker.1 0 60
  sleeper
  kill -STOP "$pid"
  silent worker.2 4 3
}

@test "a zombie is as good as buried" {
  zombie
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 0 60
  beat worker.2 4 3 "$dead" "$died"
  healthy
  rm "$dir/beat/worker.1"
  unhealthy "no heartbeat of any 'worker'"
}

@test "a worker whose pid belongs to another process now is as good as buried" {
  loaded
  beat worker.1 0 60
  beat worker.2 4 3 "$pid" "$((start + 1))"
  healthy
  rm "$dir/beat/worker.1"
  unhealthy "no heartbeat of any 'worker'"
}

@test "a role all of whose workers are dead is a failure" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat main 0 60
  beat worker.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'worker'"
  beat worker.2 9 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'worker'"
}

@test "the workers of one role do not vouch for another" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 0 60
  beat sender.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'sender'"
  # Nor do roles of which one's name is part of the other's.
  rm "$dir/beat/sender.1"
  beat work.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'work'"
  rm "$dir/beat/work.1"
  beat work.1 4 3 "$dead" "$died"
  beat homework.1 0 60
  unhealthy "no heartbeat of any 'work'"
  rm "$dir/beat/work.1"
  beat worker.a.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'worker.a'"
}

@test "a plain name is no worker of the role of that name" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker 0 60
  beat worker.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'worker'"
}

@test "a role is all before the last dot" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat web.worker.1 0 60
  beat web.worker.2 4 3 "$dead" "$died"
  healthy
  beat web.1 4 3 "$dead" "$died"
  unhealthy "no heartbeat of any 'web'"
}

@test "a worker replaced by one that hangs before its first beat leaves its role without a beat" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 4 3 "$dead" "$died"
  sleeper
  kill -STOP "$pid"
  unhealthy "no heartbeat of any 'worker'"
}

@test "files whose names begin with a dot are no heartbeats" {
  loaded
  mkdir "$dir/beat"
  put beat/.main.tmp garbage
  put beat/.a ''
  mkfifo "$dir/beat/.fifo"
  healthy
  beat main 0 60
  healthy
}

@test "any other file that is no name is a failure" {
  loaded
  for name in -x 'a b' '*' '?' '[a]' "it's" 'a"b' '$(id)' '`id`' '$HOME' 'a\b' 'a;b' '#a' '~' $'new\nline' $'\033[31m' ' ' 'a%s'; do
    beat "$name" 0 60
    unhealthy "bad name in $dir/beat"
    rm -- "$dir/beat/$name"
  done
}

@test "a file name that is no text is a failure" {
  skip_for yash 'yash does not find files of such names'
  loaded
  beat 'é' 0 60
  unhealthy "bad name in $dir/beat"
  rm "$dir/beat/é"
  beat $'\xff' 0 60
  unhealthy "bad name in $dir/beat"
}

@test "a heartbeat's name has 100 bytes at most" {
  local long
  printf -v long '%0100d' 0
  loaded
  beat "$long" 0 60
  healthy
  silent "$long" 4 3
  beat "$long" 0 60
  beat "${long}0" 0 60
  unhealthy "bad name in $dir/beat"
}

@test "a heartbeat may have any name of letters, digits, dots, underscores and dashes" {
  loaded
  for name in a A 0 _ a.b a. a.. a..b a- worker.4711 0.0; do
    beat "$name" 0 60
    healthy
    silent "$name" 4 3
    rm "$dir/beat/$name"
  done
}

@test "a heartbeat named like a variable of the shell is a heartbeat" {
  loaded
  for name in PATH.1 IFS now fresh.buried role; do beat "$name" 0 60; done
  healthy
}

@test "a thousand fresh heartbeats pass" {
  local number
  loaded
  mkdir "$dir/beat"
  clock
  beats_of 1000
  probe -v -d "$rundir" -u web
  answered 0 "liveness: web: healthy: process $pid, error 0, fresh heartbeats: 1000"$'\n' ''
  silent worker.500 4 3
}

# beats_of COUNT: so many workers.
beats_of() {
  local number
  for ((number = 1; number <= $1; number++)); do
    echo "$now 600 $pid $start" >"$dir/beat/worker.$number"
  done
}

@test "heartbeats that come and go while the probe runs are no failure" {
  loaded
  beat worker.0 0 600
  come_and_go >/dev/null 2>&1 3>&- &
  disown
  pids+=($!)
  for _ in {1..25}; do healthy; done
}

come_and_go() {
  while :; do
    for each in 1 2 3 4 5 6 7 8 9; do
      echo "$now 600 $$ $start" >"$dir/beat/.new"
      mv "$dir/beat/.new" "$dir/beat/worker.$each"
    done
    rm "$dir"/beat/worker.[1-9]
  done
}

# held_up_at NAME MICROSECONDS: probe from here on with a stop before this beat is read.
held_up_at() {
  under strace -qq -o /dev/null -P "$dir/beat/$1" -e trace=open,openat -e "inject=open,openat:delay_enter=$2:when=1"
  if ! "${before[@]}" true 2>/dev/null; then skip 'no strace here that can hold up a probe'; fi
}

@test "a beat that is written while the probe is held up is not from the future" {
  loaded
  beat main 0 600
  held_up_at main 1200000
  beat_again >/dev/null 2>&1 3>&- &
  disown
  pids+=($!)
  healthy
}

beat_again() {
  while :; do
    clock
    echo "$now 600 $pid $start" >"$dir/beat/.new"
    mv "$dir/beat/.new" "$dir/beat/main"
  done
}

# held_up_before_the_owner PID: probe from here on with a stop of a second between the
# read of a lease and the look at PID, the process that has written it.
held_up_before_the_owner() {
  under strace -qq -o "$tmp/held" -P "/proc/$1/stat" -e trace=open,openat -e inject=open,openat:delay_enter=1000000:when=1
  if ! "${before[@]}" true 2>/dev/null; then skip 'no strace here that can hold up a probe'; fi
}

# ends_once_the_probe_waits PID [FOLDER/NAME]: the process removes its lease, if one is
# named, and ends.
ends_once_the_probe_waits() {
  eventually grep -q open "$tmp/held"
  if [ $# -gt 1 ]; then rm "$dir/$2"; fi
  kill -KILL "$1"
  eventually test ! -e "/proc/$1"
  : >"$tmp/ended"
}

@test "a process that removes its lease and ends while the probe looks at it is not reported as gone" {
  loaded
  for name in beat/main beat/worker.1 check/main check/worker.1; do
    other_process
    lease "$name" 0 600 "$other" "$born"
    held_up_before_the_owner "$other"
    rm -f "$tmp/held" "$tmp/ended"
    ends_once_the_probe_waits "$other" "$name" >/dev/null 2>&1 3>&- &
    by_options ready
    answered 0 '' ''
    # It did end while the probe waited, and not after it.
    [ -e "$tmp/ended" ]
    wait "$!"
  done
}

@test "a lease that is left by a process that ends while the probe looks at it is reported" {
  loaded
  other_process
  beat main 0 600 "$other" "$born"
  held_up_before_the_owner "$other"
  ends_once_the_probe_waits "$other" >/dev/null 2>&1 3>&- &
  by_options
  answered 1 '' "liveness: $unit: heartbeat 'main': process $other is gone"$'\n'
}

@test "a lease that its successor replaces while the probe looks at the process that wrote it is the successor's" {
  loaded
  other_process
  beat main 0 600 "$other" "$born"
  held_up_before_the_owner "$other"
  replaced_once_the_probe_waits >/dev/null 2>&1 3>&- &
  by_options
  answered 0 '' ''
}

replaced_once_the_probe_waits() {
  eventually grep -q open "$tmp/held"
  beat main 0 600
  kill -KILL "$other"
}

@test "a successor that appears while the probe reads of the buried is seen" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  beat worker.1 9 3 "$dead" "$died"
  held_up_at worker.1 600000
  # Between the listing of the folder and the end of the delay.
  { sleep 0.3 && beat worker.2 0 600; } >/dev/null 2>&1 3>&- &
  healthy
}
