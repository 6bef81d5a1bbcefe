#!/usr/bin/env bats
# Readiness: a live verdict, and not declared unready.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case

load helper

@test "a live unit that has not said otherwise is ready" {
  loaded
  healthy ready
}

@test "exactly 0 is ready" {
  loaded
  for text in 0 '0\n' ' 0\t' '0\nall is well\n'; do
    put ready "$text"
    healthy ready
  done
}

@test "any other code is unready" {
  loaded
  for code in 1 7 00 01 08 255 4294967296 18446744073709551616 99999999999999999999; do
    put ready "$code"
    unhealthy 'not ready' ready
  done
}

@test "the second line is the reason" {
  loaded
  put ready '1\ndraining'
  unhealthy 'not ready: draining' ready
  put ready '1\n  %s \nmore\n' 'warming up: 10% \n'
  unhealthy 'not ready: warming up: 10% \n' ready
}

@test "a reason that is not fit for a terminal is not printed" {
  loaded
  put ready '1\n\033[31mred\n'
  unhealthy 'not ready' ready
}

@test "a reason is cut at 200 bytes" {
  local long
  printf -v long '%0200d' 0
  loaded
  put ready '1\n%s' "${long}1"
  unhealthy "not ready: $long" ready
}

@test "a ready code is one to twenty digits" {
  loaded
  for text in '' ' ' '\n' '\n0' a -1 -0 +0 0x0 0.0 '0 0' '0\r\n' 000000000000000000000 '*' true; do
    put ready "$text"
    unhealthy 'ready code is not a number' ready
  done
}

@test "an unready unit is live" {
  loaded
  for text in 1 '1\ndraining' '' abc '0\r\n'; do
    put ready "$text"
    healthy
    healthy live
  done
}

@test "a unit that is not live is not ready" {
  loaded
  put ready 0
  put error '7\nqueue lost'
  unhealthy 'error 7: queue lost' ready
  put ready '1\ndraining'
  unhealthy 'error 7: queue lost' ready
  put error 0
  beat main 1 60 0
  unhealthy "heartbeat 'main' is malformed" ready
  rm "$dir/error"
  unhealthy "not set (no error code in $dir)" ready
}
