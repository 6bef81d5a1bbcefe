#!/usr/bin/env bats
# Background checks: their results decide whether a unit is ready, and never whether it
# is live.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# unready REASON: the unit is live, and not ready for this reason.
unready() {
  healthy || return
  unhealthy "$1" ready
}

# ready_and_live: neither verdict finds anything wrong.
ready_and_live() {
  healthy || return
  healthy ready
}

malformed() {
  clock
  # shellcheck disable=SC2059 # a format is what is asked for
  put check/database "${1//NOW/$now}"
  unready "check 'database' is malformed"
}

without_result() {
  stale ready "not ready: no result of '${1#check/}'" "$@" || return
  healthy
}

good_for() {
  lease check/database "$1" "$2"
  healthy ready
}

@test "a unit without checks is ready" {
  loaded
  mkdir "$dir/check"
  ready_and_live
}

@test "a good result counts up to its limit, the last second included" {
  loaded
  for age in 0 1 7 8; do in_one_second good_for "$age" 8; done
  in_one_second good_for 1 1
  lease check/database 0 60 "$pid" "$start" 0 'all is well'
  ready_and_live
}

@test "a failed check makes its unit unready, with its reason and its name" {
  loaded
  lease check/database 0 60 "$pid" "$start" 1 'connection refused'
  unready 'not ready: connection refused (database)'
  lease check/database 0 60 "$pid" "$start" 99999999999999999999 'connection refused'
  unready 'not ready: connection refused (database)'
  lease check/database 0 60 "$pid" "$start" 00
  unready 'not ready (database)'
  lease check/database 0 60
  ready_and_live
}

@test "a failed check of another living process counts" {
  loaded
  other_process
  lease check/database 0 60 "$other" "$born"
  ready_and_live
  lease check/database 0 60 "$other" "$born" 1 'connection refused'
  unready 'not ready: connection refused (database)'
  without_result check/database 4 3 "$other" "$born"
}

@test "a check that gives no result in time makes its unit unready" {
  loaded
  without_result check/database 4 3
  without_result check/database 9 1
  without_result check/database 4 3 "$pid" "$start" 1 'connection refused'
  rm "$dir/check/database"
  without_result check/worker.1 4 3
}

@test "a result from before a reboot makes its unit unready" {
  loaded
  lease check/database -1000 999999999
  unready "check 'database' is from the future"
  lease check/database -1000 60 "$pid" "$start" 1 'connection refused'
  unready "check 'database' is from the future"
}

@test "a plain check whose process is dead makes its unit unready, whatever its age and its code" {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  for whose in "$dead $died" "$zombie $zombie_start" "$pid $((start + 1))" "$pid 0$start"; do
    for when in '0 600' '4 3' '-1000 60'; do
      for code in '' 1; do
        # shellcheck disable=SC2086 # split into age, ttl, pid and start
        lease check/database $when $whose "$code" ${code:+refused}
        unready "not ready: no result of 'database': process ${whose% *} is gone"
      done
    done
  done
}

@test "a check of a dead process is passed over while another of its role is alive and fresh" {
  zombie
  local zombie=$pid zombie_start=$start
  dead_process
  loaded
  other_process
  lease check/worker.5 0 600 "$other" "$born"
  for whose in "$dead $died" "$zombie $zombie_start" "$pid $((start + 1))"; do
    for name in worker.1 worker.9; do
      for when in '0 600' '4 3' '-1000 60'; do
        # shellcheck disable=SC2086 # split into age, ttl, pid and start
        lease "check/$name" $when $whose 1 'connection refused'
        ready_and_live
      done
    done
  done
  lease check/worker.5 0 600 "$other" "$born" 1 'no database'
  unready 'not ready: no database (worker.5)'
  without_result check/worker.5 4 3 "$other" "$born"
  rm "$dir/check/worker.5"
  unready "not ready: no result of any 'worker'"
}

@test "a role of checks of which every process is dead makes its unit unready, even if the last results were good" {
  dead_process
  loaded
  lease check/worker.1 0 600 "$dead" "$died"
  unready "not ready: no result of any 'worker'"
  lease check/worker.1 0 600 "$dead" "$died" 1 'connection refused'
  unready "not ready: no result of any 'worker'"
  # Neither a plain name, nor another role, nor a heartbeat is one of the role.
  lease check/worker 0 600
  lease check/worker.a.1 0 600
  lease check/work.1 0 600
  lease beat/worker.1 0 600
  unready "not ready: no result of any 'worker'"
  lease check/worker.2 0 600
  ready_and_live
}

@test "a role of checks is all before the last dot" {
  dead_process
  loaded
  lease check/a.b.1 0 600
  lease check/a.b.2 0 600 "$dead" "$died"
  ready_and_live
  lease check/a.c.1 0 600 "$dead" "$died"
  unready "not ready: no result of any 'a.c'"
}

@test "nothing in check/ changes a live verdict" {
  local long
  printf -v long '%0101d' 0
  dead_process
  loaded
  mkdir "$dir/check"
  for text in '' x '1 2 3' "1 1 $pid $start" "1 1 $dead $died" "999999999 1 $pid $start" "1 999999999 $pid $start 7\nlost"; do
    put check/database "$text"
    healthy
    healthy live
  done
  rm "$dir/check/database"
  for name in 'a b' '*' -x $'new\nline' "$long"; do
    lease "check/$name" 0 60
    healthy
    unhealthy "bad name in $dir/check" ready
    rm -- "$dir/check/$name"
  done
  for make in mkfifo mkdir 'ln -s nowhere' 'ln -s /dev/zero'; do
    $make "$dir/check/database"
    healthy
    unhealthy 'cannot read check/database' ready
    rm -rf "$dir/check/database"
  done
  rmdir "$dir/check"
  for make in mkfifo touch 'ln -s nowhere' 'ln -s /dev/zero'; do
    $make "$dir/check"
    healthy
    unhealthy 'cannot read check' ready
    rm "$dir/check"
  done
}

@test "a folder of checks that may not be read does not change a live verdict" {
  loaded
  lease check/database 0 60
  as_nobody
  for path in check/database check; do
    chmod 000 "$dir/$path"
    healthy
    unhealthy "cannot read $path" ready
    chmod 755 "$dir/$path"
  done
  healthy ready
}

@test "a result is four numbers, at, ttl, pid, start, and perhaps a code" {
  loaded
  lease check/database 0 60
  for text in '' ' ' '\n' "\nNOW 60 $pid $start" NOW 'NOW 60' "NOW 60 $pid" "NOW 60 $pid $start x" "NOW 60 $pid $start 1 2" "NOW\n60\n$pid\n$start" \
    "NOW 60 $pid $start\r\n" "0NOW 60 $pid $start" "1234567890 60 $pid $start" "NOW 0 $pid $start" "NOW 060 $pid $start" "NOW 60 0$pid $start" \
    "NOW 60 12345678 $start" "NOW 60 $pid 123456789012345678901" "NOW 60 $pid $start -1" "NOW 60 $pid $start 100000000000000000000"; do
    malformed "$text"
  done
}

@test "a malformed result makes its unit unready even if its process is dead" {
  dead_process
  loaded
  lease check/worker.1 0 60
  lease check/worker.2 0 60 "$dead" "$died" x
  unready "check 'worker.2' is malformed"
}

@test "the reason of a check is printed as it stands, and cut at 160 bytes" {
  local long
  printf -v long '%0160d' 0
  loaded
  for reason in '%s %d %n' '\n \033 \c' '$(id) `id`' '* ? [a]' '-e' '~' "'" '"'; do
    lease check/database 0 60 "$pid" "$start" 1 "$reason"
    unready "not ready: $reason (database)"
  done
  lease check/database 0 60 "$pid" "$start" 1 $' \t connection  refused \t \nand more'
  unready 'not ready: connection  refused (database)'
  lease check/database 0 60 "$pid" "$start" 1 "${long}1"
  unready "not ready: $long (database)"
}

@test "the reason of a check is not printed if it is not printable ASCII" {
  loaded
  for reason in $'\033[31mred' $'a\rb' $'a\tb' $'\177' ' '; do
    lease check/database 0 60 "$pid" "$start" 1 "$reason"
    unready 'not ready (database)'
  done
  skip_for yash 'yash reads text only'
  for reason in 'café' $'\377' $'\302\233'; do
    lease check/database 0 60 "$pid" "$start" 1 "$reason"
    unready 'not ready (database)'
  done
}

@test "files in check/ whose names begin with a dot are not results" {
  loaded
  mkdir "$dir/check"
  put check/.database.0123456789ab garbage
  mkfifo "$dir/check/.fifo"
  ready_and_live
}

@test "of several failed checks, the first in byte order is told" {
  has_the_words || skip 'the words are not promised'
  loaded
  for name in a Z _ 9; do lease "check/$name" 0 60 "$pid" "$start" 1 down; done
  for name in 9 Z _ a; do
    unready "not ready: down ($name)"
    rm "$dir/check/$name"
  done
}

@test "checks are looked at last" {
  loaded
  lease check/database 0 60 "$pid" "$start" 1 'connection refused'
  put ready '1\ndraining'
  unready 'not ready: draining'
  put ready 0
  unready 'not ready: connection refused (database)'
  lease expect/worker -1000 60 "$pid" "$start" 2
  unhealthy "0 of 2 'worker' heartbeats" ready
  lease job/import -1000 60
  unhealthy "job 'import' is from the future" ready
  beat main 0 60 "$pid" "$start" 7
  unhealthy 'error 7 (main)' ready
}

@test "a check that is named like a heartbeat is not that heartbeat" {
  dead_process
  loaded
  beat worker.1 0 60 "$dead" "$died"
  lease check/worker.2 0 60
  unhealthy "no heartbeat of any 'worker'"
}
