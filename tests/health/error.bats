#!/usr/bin/env bats
# The error code a unit declares, and the reason beside it.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC1003 # a backslash before a quote is a backslash

load helper

@test "a unit that has not declared itself healthy is not set" {
  loaded
  rm "$dir/error"
  unhealthy "not set (no error code in $dir)"
}

@test "exactly 0 is healthy" {
  loaded
  for text in 0 '0\n' ' 0' '0 ' '\t0\t' ' \t0 \t\n' '0\n\n' '0\nall is well\n' '0\n7\n'; do
    put error "$text"
    healthy
  done
}

@test "any other code is an error" {
  loaded
  for code in 1 2 7 9 10 99 255 256 2147483648 4294967296 4294967297 9223372036854775808 18446744073709551616 \
    18446744073709551617 99999999999999999999 00 000 01 08 09 010; do
    put error "$code"
    unhealthy "error $code"
  done
}

@test "an error code is one to twenty digits" {
  loaded
  for text in '' ' ' '\n' '\n0' '\n0\n' ' \n0' a x0 0x 0x0 -0 +0 -1 0.0 .0 0. '0 0' '0\t0' '0 7' '0;' '0#' "'0'" '"0"' '$0' '`0`' \
    000000000000000000000 000000000000000000007 100000000000000000000 368934881474191032320 '*' '?' '[0-9]' OK true 0%% '\\0'; do
    put error "$text"
    unhealthy 'error code is not a number'
  done
}

@test "blanks that are neither space nor tab are part of the code" {
  loaded
  for text in '0\r' '0\r\n' '\r0' '0\v' '0\f' '\f0' '0\b' '0\033[m'; do
    put error "$text"
    unhealthy 'error code is not a number'
  done
  skip_for yash 'yash reads text only'
  for text in '0\302\240' '\302\2400' '\357\273\2770' '\331\240'; do
    put error "$text"
    unhealthy 'error code is not a number'
  done
}

@test "the second line is the reason" {
  loaded
  put error '7\nqueue lost'
  unhealthy 'error 7: queue lost'
  put error '7\nqueue lost\n'
  unhealthy 'error 7: queue lost'
  put error '7\nqueue lost\nand more\n'
  unhealthy 'error 7: queue lost'
  put error ' 7 \n \t queue  lost \t \n'
  unhealthy 'error 7: queue  lost'
}

@test "an error may have no reason" {
  loaded
  for text in '7' '7\n' '7\n\n' '7\n \t \n' '7\n\nthird\n'; do
    put error "$text"
    unhealthy 'error 7'
  done
}

@test "a reason is printed as it stands" {
  loaded
  for reason in '%s' '%s %n %d %c %b' '%' '100%' '%200s' '\n' '\033[31m' '\\' 'C:\new\table' '$HOME' '$(id)' '`id`' '*' '/*' '~' '"' "'" '-n' '-e' '--' \
    '; id' '& id' '| id' '> out' '#' '!' 'a=b' '${x}' '$((1/0))' '{a,b}' ' ~ '; do
    put error '7\n%s\n' "$reason"
    reason=${reason# }
    unhealthy "error 7: ${reason% }"
  done
}

@test "a reason that is not printable ASCII is not printed" {
  loaded
  for reason in '\033[31mred' '\033]0;title\007' 'a\rb' 'lost\r' 'a\bb' 'a\tb' '\177' '\001' 'a\vb'; do
    put error "7\n$reason\n"
    unhealthy 'error 7'
    put error "7\n$reason"
    unhealthy 'error 7'
  done
}

@test "a reason that is no ASCII is not printed in any locale" {
  skip_for yash 'yash reads text only'
  loaded
  for locale in C C.UTF-8; do
    under env LC_ALL="$locale"
    for reason in 'caf\303\251' '\377' '\303' '\302\205' '\302\23331m' '\342\200\256'; do
      put error "7\n$reason\n"
      unhealthy 'error 7'
    done
  done
}

@test "a reason is cut at 200 bytes" {
  local long
  printf -v long '%0200d' 0
  loaded
  put error '7\n%s' "${long}1"
  unhealthy "error 7: $long"
  put error '7\n%s\n' "$long$long$long"
  unhealthy "error 7: $long"
  put error '7\n%s\n' "$long"
  unhealthy "error 7: $long"
}

@test "an error is told before a heartbeat that is missing" {
  loaded
  beat main 4 3
  put error 7
  unhealthy 'error 7'
}

@test "a unit gets well again" {
  loaded
  put error '7\nqueue lost'
  unhealthy 'error 7: queue lost'
  put error 0
  healthy
}
