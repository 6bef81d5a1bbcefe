#!/usr/bin/env bats
# What health.sh is told on its command line.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

bad_name='bad unit name (1 to 200 of A-Z a-z 0-9 . _ -, first neither . nor -)'

@test "a healthy unit is passed in silence" {
  loaded
  healthy
}

@test "the live verdict is the default" {
  loaded
  put ready 1
  healthy
  healthy live
  unhealthy 'not ready' ready
}

@test "the verdict may stand before, between or after the options" {
  loaded
  put ready 1
  probe ready -d "$rundir" -u web
  answered 1 '' $'liveness: web: not ready\n'
  probe -d "$rundir" ready -u web
  answered 1 '' $'liveness: web: not ready\n'
}

@test "-v says why a healthy unit is healthy" {
  loaded
  probe -v -d "$rundir" -u web
  answered 0 "liveness: web: healthy: process $pid, error 0, fresh heartbeats: 0"$'\n' ''
  beat main 0 60
  beat other 0 60
  probe ready -v -d "$rundir" -u web
  answered 0 "liveness: web: healthy: process $pid, error 0, fresh heartbeats: 2"$'\n' ''
}

@test "-v has a line for each of several units" {
  loaded
  unit db
  loaded
  probe -v -d "$rundir" -u web -u db
  answered 0 "liveness: web: healthy: process $pid, error 0, fresh heartbeats: 0
liveness: db: healthy: process $pid, error 0, fresh heartbeats: 0
" ''
}

@test "-v says no more of an unhealthy unit than the one line" {
  loaded
  put error 7
  unhealthy 'error 7' -v
}

@test "-q says nothing, the exit status is enough" {
  loaded
  healthy -q
  put error 7
  probe -q -d "$rundir" -u web
  [ "$status" -eq 1 ]
  [ -z "$out$err" ]
}

@test "-d says where the units are, whatever LIVENESS_RUNDIR says" {
  loaded
  under env LIVENESS_RUNDIR=/nowhere
  healthy
  rundir=/nowhere
  under env LIVENESS_RUNDIR="$tmp/run"
  unhealthy 'not loaded (no pid in /nowhere/web)'
}

@test "-u names the unit, whatever LIVENESS_UNIT_NAME says" {
  loaded
  under env LIVENESS_UNIT_NAME=other
  healthy
  under env LIVENESS_UNIT_NAME=..
  healthy
}

@test "the last -d counts" {
  loaded
  probe -d /nowhere -d "$rundir" -u web
  answered 0 '' ''
}

@test "of several units every one must pass, and the first that does not is named" {
  loaded
  unit db
  loaded
  probe -d "$rundir" -u web -u db
  answered 0 '' ''
  put error 7
  probe -d "$rundir" -u web -u db
  answered 1 '' $'liveness: db: error 7\n'
  probe -d "$rundir" -u db -u web
  answered 1 '' $'liveness: db: error 7\n'
  probe -d "$rundir" -u web -u none -u db
  answered 1 '' "liveness: none: not loaded (no pid in $rundir/none)"$'\n'
}

@test "of several units every one must be ready for the ready verdict" {
  loaded
  unit db
  loaded
  put ready 1
  probe -d "$rundir" -u web -u db live
  answered 0 '' ''
  probe -d "$rundir" -u web -u db ready
  answered 1 '' $'liveness: db: not ready\n'
}

@test "-h prints the usage, the options and the exit status" {
  for option in -h --help; do
    probe "$option"
    [ "$status" -eq 0 ]
    [ -z "$err" ]
    if has_the_words; then [[ $out == 'health.sh - '*'Usage: health.sh [-h]'*'Exit status: '*"events."$'\n' ]]; fi
  done
}

@test "-h helps whatever stands before it and whatever is in the environment" {
  under env LIVENESS_UNIT_NAME=.. LIVENESS_RUNDIR=relative
  probe -q live -h
  [ "$status" -eq 0 ]
  [ -z "$err" ]
}

@test "an option without its value is misuse" {
  misused 'option needs a value: -d' -d
  misused 'option needs a value: -u' -u
  misused 'option needs a value: -u' -d "$rundir" -u
}

@test "an unknown argument is misuse" {
  loaded
  for argument in -x -- - --version -vq -dx=1 LIVE Ready lives dead '*' '$(id)' '%s' '\n' 'a b'; do
    misused "unknown argument: $argument" -d "$rundir" -u web "$argument"
  done
  misused 'unknown argument' -d "$rundir" -u web ''
}

@test "two verdicts are misuse" {
  loaded
  misused 'one verdict at a time: live ready' -d "$rundir" -u web live ready
  misused 'one verdict at a time: ready live' -d "$rundir" -u web ready live
  misused 'one verdict at a time: live live' -d "$rundir" -u web live live
}

@test "what is misused is cut at 60 bytes" {
  local sixty
  printf -v sixty '%060d' 0
  misused "unknown argument: $sixty" "${sixty}1"
}

@test "what is misused is not printed if it is not fit for a terminal" {
  misused 'unknown argument' $'\033[31mred'
  misused 'unknown argument' $'two\nlines'
  misused 'unknown argument' $'bell\a'
  skip_for yash 'yash refuses arguments that are not text'
  misused 'unknown argument' $'\xff'
  misused 'unknown argument' 'é'
}

@test "a unit name that could leave its folder, or is no name, is misuse" {
  loaded
  for name in . .. ../web web/../web /web web/ a/b .hidden -u -web 'a b' 'a*' '*' '?' '[a-z]' \
    '$(id)' '`id`' '$HOME' 'a;id' 'a|id' '~' 'a\b' 'a"b' "a'b" 'a=b' 'a%s' 'a@b' '#a'; do
    misused "$bad_name: $name" -d "$rundir" -u "$name"
    under env LIVENESS_UNIT_NAME="$name"
    misused "$bad_name: $name" -d "$rundir"
    under env
  done
}

@test "a unit name with a newline, a tab, an escape or bytes above ASCII is misuse" {
  loaded
  for name in $'web\n' $'\nweb' $'web\nweb' $'a\tb' $'a\rb' $'\033[2J' $'a\177' 'é' $'a\xff' 'ａ'; do
    case $shell_name$name in
      yash*[é$'\xff'ａ]*) continue ;;
    esac
    misused "$bad_name" -d "$rundir" -u "$name"
    under env LIVENESS_UNIT_NAME="$name"
    misused "$bad_name" -d "$rundir"
    under env
  done
}

@test "one bad unit name among good ones is misuse, and nothing is probed" {
  unit web
  misused "$bad_name: .." -d "$rundir" -u web -u ..
  misused "$bad_name: .." -d "$rundir" -u .. -u web
}

@test "an empty -u is misuse" {
  misused "$bad_name" -d "$rundir" -u ''
}

@test "a unit name has 200 bytes at most" {
  local long
  printf -v long '%0200d' 0
  unit "$long"
  loaded
  healthy
  misused "$bad_name: ${long:0:60}" -d "$rundir" -u "${long}0"
  under env LIVENESS_UNIT_NAME="${long}0"
  misused "$bad_name: ${long:0:60}" -d "$rundir"
}

@test "a unit name may hold letters, digits, dots, underscores and dashes" {
  for name in a Z 0 _ a.b a..b a- web-0.example_1 00; do
    unit "$name"
    loaded
    healthy
  done
}

@test "a rundir that is not absolute is misuse" {
  for name in run ./run ../run '' . '~' '$HOME' ' /run'; do
    misused "RUNDIR is not an absolute path${name:+: $name}" -u web -d "$name"
    [ -n "$name" ] || continue
    under env LIVENESS_RUNDIR="$name"
    misused "RUNDIR is not an absolute path: $name" -u web
    under env
  done
}

@test "a rundir with control characters is misuse" {
  for name in $'/run\n' $'/ru\nn' $'/run\t' $'/\033[2J' $'/run\r' $'/\177' $'/\001'; do
    misused 'control characters in RUNDIR' -u web -d "$name"
    under env LIVENESS_RUNDIR="$name"
    misused 'control characters in RUNDIR' -u web
    under env
  done
}

@test "a rundir may have any other name" {
  for name in 'a b' ' a ' "it's" '"quoted"' '*' '?' '[a-z]' '$HOME' '$(id)' '`id`' 'back\slash' '\n' '%s%n' '-d' '~' '!' '&;|<>' '#' 'a:b' 'é'; do
    case $shell_name$name in
      yash*é*) continue ;;
    esac
    rundir=$tmp/run/$name
    unit web
    loaded
    beat main 0 60
    healthy
    put error 7
    unhealthy 'error 7'
  done
}

@test "a rundir of globs means itself, and no other folder that fits" {
  loaded
  mkdir -p "$rundir/other"
  rundir="$tmp/ru*"
  unhealthy "not loaded (no pid in $tmp/ru*/web)"
  rundir="$tmp/[r]un"
  unhealthy "not loaded (no pid in $tmp/[r]un/web)"
}

@test "a rundir may end in slashes, or go through a link" {
  loaded
  rundir=$tmp/run//
  healthy
  ln -s run "$tmp/link"
  rundir=$tmp/link
  healthy
}

@test "a rundir is cut by bytes, not by letters" {
  skip_for yash 'yash refuses arguments that are not text'
  local LC_ALL=C long
  printf -v long 'é%.0s' {1..120}
  rundir=$tmp/$long
  for locale in C C.UTF-8; do
    under env LC_ALL="$locale"
    dir=$rundir/web
    unhealthy "not loaded (no pid in ${dir:0:200})"
  done
}
