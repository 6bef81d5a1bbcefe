# shellcheck shell=bash
# What the tests of health.sh share: the shell under test, a unit on the disk,
# real processes, and the probe with what it must answer.
#
# $LIVENESS_SHELL is the shell's command (`bash --posix`; default `sh`),
# $HEALTH_SH the script under test.

setup_file() {
  # shellcheck disable=SC2086 # split into words
  set -- ${LIVENESS_SHELL:-sh}
  # An absolute path, for the tests that take PATH away.
  shell_path=$(command -v "$1")
  shell_name=$(readlink -f "$shell_path")
  shell_name=${shell_name##*/}
  shift
  shell_arguments=$*
  export shell_path shell_name shell_arguments
}

setup() {
  # bats traces every command to name the line that failed, which costs more
  # than the probe itself: trace those of the test alone, not those of this file.
  set +T
  declare -ft "$BATS_TEST_NAME"
  unset LIVENESS_RUNDIR LIVENESS_UNIT_NAME
  HEALTH_SH=${HEALTH_SH:-$BATS_TEST_DIRNAME/../../health.sh}
  # shellcheck disable=SC2206 # split into words
  shell=("$shell_path" $shell_arguments)
  tmp=$BATS_TEST_TMPDIR
  rundir=$tmp/run
  before=() pids=() pid=''
  unit web
}

teardown() {
  local each
  for each in "${pids[@]}"; do kill -KILL "$each" 2>/dev/null || :; done
}

# The words are promised for dash, bash and busybox ash; the verdict for all.
has_the_words() {
  case $shell_name in
    *ksh* | yash | zsh*) return 1 ;;
  esac
}

# skip_for SHELL REASON
skip_for() {
  case $shell_name in
    "$1"*) skip "$2" ;;
  esac
}

# A unit on the disk

# unit NAME: the unit that the tests below write and probe, an empty folder at first.
unit() {
  unit=$1
  dir=$rundir/$unit
  [ -d "$dir" ] || mkdir -p "$dir"
}

# put FILE FORMAT [ARGUMENT...]: a state file, written with printf.
put() {
  local file=$1
  shift
  # shellcheck disable=SC2059 # a format is what is asked for
  printf -- "$@" >"$dir/$file"
}

# loaded [PID]: the unit as a healthy process leaves it, a `sleep` if none is named.
loaded() {
  if [ $# -gt 0 ]; then pid=$1; fi
  if [ -z "$pid" ]; then sleeper; fi
  start_of "$pid"
  put pid "$pid"
  put start "$start"
  put error 0
}

# lease FOLDER/NAME AGE TTL [PID START [CODE [REASON]]]: a lease that was written AGE
# seconds ago.
lease() {
  clock
  [ -d "$dir/${1%%/*}" ] || mkdir -p "$dir/${1%%/*}"
  put "$1" '%s %s %s %s%s\n%s' "$((now - $2))" "$3" "${4:-$pid}" "${5:-$start}" "${6:+ $6}" "${7:+$7$'\n'}"
}

# beat NAME AGE TTL [PID START [CODE [REASON]]]: a heartbeat that was written AGE
# seconds ago.
beat() { lease "beat/$1" "${@:2}"; }

# Real processes

# sleeper: a process in $pid that sleeps until teardown; its start in $start.
sleeper() {
  sleep 600 >/dev/null 2>&1 3>&- &
  started $!
  start_of "$pid"
}

# started PID: in $pid, to be killed at teardown. Bash must not tell of that.
started() {
  pid=$1
  pids+=("$pid")
  disown "$pid"
}

# start_of PID: field 22 of its stat in $start, the state in $state; both empty
# if it is gone.
start_of() {
  local stat=''
  { read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || :
  # shellcheck disable=SC2086 # split into fields
  set -- ${stat##*') '}
  state=${1:-} start=${20:-}
}

# has_state LETTER PID
has_state() {
  start_of "$2"
  [ "$state" = "$1" ]
}

# zombie: a dead process in $pid that nobody buries, its start in $start.
zombie() {
  sh -c 'sleep 600 & echo $! >"$1"; exec sleep 600' sh "$tmp/zombie" >/dev/null 2>&1 3>&- &
  started $!
  eventually test -s "$tmp/zombie"
  # A shell would bury it, `sleep` does not.
  eventually is_called sleep "$pid"
  read -r pid <"$tmp/zombie"
  pids+=("$pid")
  kill -KILL "$pid"
  eventually has_state Z "$pid"
}

# is_called NAME PID
is_called() {
  local name
  read -r name <"/proc/$2/comm"
  [ "$name" = "$1" ]
}

# gone: the number of a process that is no more in $pid, its start in $start.
gone() {
  sleeper
  kill -KILL "$pid"
  eventually test ! -e "/proc/$pid"
}

# dead_process: the number of a process that has ended in $dead, its start in $died.
# $pid is free for the next process.
# shellcheck disable=SC2034 # the tests read them
dead_process() {
  gone
  dead=$pid died=$start pid=''
}

# other_process: a living process in $other, its start in $born. $pid stays what it is.
# shellcheck disable=SC2034 # the tests read them
other_process() {
  local kept=$pid kept_start=$start
  sleeper
  other=$pid born=$start
  pid=$kept start=$kept_start
}

# eventually COMMAND...: it succeeds within five seconds.
eventually() {
  local deadline=$((SECONDS + 5))
  until "$@"; do
    if [ "$SECONDS" -gt "$deadline" ]; then
      echo "never came true: $*" >&2
      return 1
    fi
    sleep 0.01
  done
}

# clock: whole seconds since the boot in $now.
clock() {
  read -r now _ </proc/uptime
  now=${now%%.*}
}

# in_one_second COMMAND...: repeated while the clock's second moves under it. Where no words
# are promised, no second can be seen in them, and a success is one.
in_one_second() {
  local second result
  for _ in {1..30}; do
    clock
    second=$now result=0
    "$@" || result=$?
    clock
    if [ "$now" -eq "$second" ]; then return "$result"; fi
    if [ "$result" -eq 0 ] && ! has_the_words; then return; fi
  done
  echo "the clock never held still for: $*" >&2
  return 1
}

# The probe

# under COMMAND...: probe from here on with this in front, such as `env -i`.
under() { before=("$@"); }

# as_nobody: probe from here on as a user whom file permissions bind.
as_nobody() {
  if [ "$(id -u)" -ne 0 ]; then return 0; fi
  if ! command -v setpriv >/dev/null; then skip 'we are root and there is no setpriv'; fi
  under setpriv --reuid 65534 --regid 65534 --clear-groups
  cp "$HEALTH_SH" "$tmp/health.sh"
  HEALTH_SH=$tmp/health.sh
  chmod 755 "$tmp/health.sh" "$tmp" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
  if ! "${before[@]}" test -r "$HEALTH_SH"; then skip 'the temporary folder is closed to others'; fi
}

# probe ARGUMENT...: $status is the exit status, 124 after five seconds; $out and
# $err are all that was printed. A NUL ends them, and is remembered in $nul.
# shellcheck disable=SC2034 # the tests read it
probe() {
  status=0 nul=''
  timeout 5 "${before[@]}" "${shell[@]}" "$HEALTH_SH" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
  if IFS='' read -r -d '' out <"$tmp/out"; then nul=out; fi
  if IFS='' read -r -d '' err <"$tmp/err"; then nul=err; fi
}

# answered STATUS OUT ERR: what the last probe must have said, to the byte.
answered() {
  if [ "$status" -ne "$1" ]; then
    complain "exit status $status, not $1"
  elif has_the_words && [ "$out" != "$2" ]; then
    complain "standard output is not $(printf %q "$2")"
  elif has_the_words && [ "$err" != "$3" ]; then
    complain "standard error is not $(printf %q "$3")"
  elif [ ${#err} -gt 512 ] || [ ${#out} -gt 512 ] && [ -n "$3" ]; then
    complain 'more than 512 bytes'
  else
    case $err in
      *$'\n'?*) complain 'more than one line' ;;
    esac
  fi
}

complain() {
  {
    echo "$1 (${shell[*]})"
    printf 'status %s, out %q, err %q\n' "$status" "$out" "$err"
  } >&2
  return 1
}

# healthy [ARGUMENT...]: the unit passes, in silence.
healthy() {
  by_options "$@"
  answered 0 '' '' || return
  by_environment "$@"
  answered 0 '' ''
}

# unhealthy REASON [ARGUMENT...]: the unit fails, and this is the one line it says.
unhealthy() {
  local reason=$1
  shift
  by_options "$@"
  answered 1 '' "liveness: $unit: $reason"$'\n' || return
  by_environment "$@"
  answered 1 '' "liveness: $unit: $reason"$'\n'
}

# by_options [ARGUMENT...]: probe the unit, the long way.
by_options() {
  probe -d "$rundir" -u "$unit" "$@"
}

# by_environment [ARGUMENT...]: probe the unit in such a way that a healthy one may go
# the short way; not again if that cannot be.
by_environment() {
  case $#${1-} in
    0 | 1live | 1ready)
      # To strace it would be one program more.
      if [ "${before[0]-}" = strace ]; then return 0; fi
      if [ "${#before[@]}" -eq 0 ]; then
        LIVENESS_RUNDIR=$rundir LIVENESS_UNIT_NAME=$unit probe "$@"
        return
      fi
      local kept=("${before[@]}")
      # An absolute path, for the tests that take PATH away.
      under "${before[@]}" /usr/bin/env LIVENESS_RUNDIR="$rundir" LIVENESS_UNIT_NAME="$unit"
      probe "$@"
      before=("${kept[@]}")
      ;;
  esac
}

# silent NAME AGE TTL [PID START]: a beat of this age is found too old. An age of
# some seconds will do, for machines that have only just booted.
silent() { stale live "no heartbeat '$1'" "beat/$1" "${@:2}"; }

# stale MODE REASON FOLDER/NAME AGE TTL [PID START [CODE [REASON]]]: a lease of this age
# fails the verdict for this reason, to which its age and its limit are added.
stale() { in_one_second found_stale "$@"; }
found_stale() {
  lease "${@:3}"
  unhealthy "$2 for $4 s (limit $5 s)" "$1"
}

# misused WHAT [ARGUMENT...]: the arguments are refused, and this is why.
misused() {
  local what=$1
  shift
  probe "$@"
  answered 2 '' "liveness: $what (health.sh -h explains)"$'\n'
}
