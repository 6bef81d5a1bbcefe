#!/usr/bin/env bats
# The probe starts no process: what is killed with it leaves no child behind.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# traced: probe from here on under strace, which writes to $tmp/trace.
traced() {
  if ! command -v strace >/dev/null; then skip 'no strace'; fi
  if ! strace -o /dev/null true 2>/dev/null; then skip 'strace is not allowed here'; fi
  under strace -f -qq -e trace=process -o "$tmp/trace"
}

# alone: the probe just made was one execve and no other process.
alone() {
  local call executed=0
  while read -r _ call; do
    case $call in
      execve*) executed=$((executed + 1)) ;;
      clone* | fork* | vfork* | *resumed*) return 1 ;;
    esac
  done <"$tmp/trace"
  [ "$executed" -eq 1 ]
}

# It has no printf of its own, so its words are another process.
without_words_in_mksh() {
  case $shell_name in
    mksh | lksh) quiet=(-q) ;;
    *) quiet=() ;;
  esac
}

@test "a healthy verdict starts no process" {
  loaded
  traced
  healthy
  alone
  healthy ready
  alone
}

@test "an unhealthy verdict starts no process" {
  loaded
  traced
  without_words_in_mksh
  put error '7\nqueue lost\n'
  probe "${quiet[@]}" -d "$rundir" -u web
  [ "$status" -eq 1 ]
  alone
  rm "$dir/pid"
  probe "${quiet[@]}" -d "$rundir" -u web
  [ "$status" -eq 1 ]
  alone
}

@test "heartbeats start no process" {
  gone
  local dead=$pid died=$start
  sleeper
  loaded
  traced
  without_words_in_mksh
  beat main 0 600
  beat worker.1 0 600
  beat worker.2 4 3 "$dead" "$died"
  healthy
  alone
  rm "$dir/beat/worker.1"
  probe "${quiet[@]}" -d "$rundir" -u web
  [ "$status" -eq 1 ]
  alone
}

@test "jobs, checks and expectations start no process" {
  dead_process
  loaded
  other_process
  traced
  without_words_in_mksh
  beat worker.1 0 600 "$other" "$born"
  lease job/import 0 600 "$other" "$born"
  lease job/export 4 3 "$dead" "$died"
  lease check/database.1 0 600 "$other" "$born"
  lease check/database.2 0 600 "$dead" "$died" 1 'connection refused'
  lease expect/worker 4 3 "$other" "$born" 1
  healthy ready
  alone
  for file in beat/worker.1 job/import check/database.1; do
    lease "$file" -1000 60
    probe "${quiet[@]}" -d "$rundir" -u web ready
    [ "$status" -eq 1 ]
    alone
    lease "$file" 0 600
  done
  lease expect/worker 4 3 "$other" "$born" 2
  probe "${quiet[@]}" -d "$rundir" -u web
  [ "$status" -eq 1 ]
  alone
}

@test "the host's name starts no process" {
  traced
  without_words_in_mksh
  probe "${quiet[@]}" -d "$rundir"
  [ "$status" -eq 1 ]
  alone
}
