#!/bin/sh
# health.sh - tell Kubernetes whether a process is alive, from the files it keeps
#
# Usage: health.sh [-h] [-q] [-v] [-d RUNDIR] [-u UNITNAME]... [live|ready]
#
#   live         the process exists, has declared itself healthy, and none of
#                its heartbeats is stale (the default; startup probes too)
#   ready        live, and not declared unready
#
#   -d RUNDIR    where the units are ($LIVENESS_RUNDIR, else /run)
#   -u UNITNAME  the unit ($LIVENESS_UNIT_NAME, else the kernel's hostname);
#                given more than once, every one of them must pass
#   -q           say nothing, the exit status is enough
#   -v           say why a healthy unit is healthy, too
#   -h           this help
#
# Exit status: 0 healthy, 1 not, 2 misuse. What is wrong is one line on standard
# error: the kubelet shows it in the pod's events.

# Nothing here starts a process, not even a subshell: a probe that is killed
# leaves no child behind, and needs no PATH.

# No file's content may turn into file names; what globs does so once, with care. And a
# read that fails is an answer, whatever option the shell was started with.
set -fu +e
# ksh93 would pass over the heartbeats that it names.
unset FIGNORE
# Bytes, not letters: a range like A-Z and a length mean the same everywhere.
LC_ALL=C

# The short way, for what most runs find: a healthy unit, named by the environment. It
# can only say "healthy", of what meets every rule at first sight; whatever else is there
# it leaves to the long way below, which knows the rules in full, and the words. A shell
# reads a script as it runs it, so the lines below are not even parsed until then.
verdict=''
while :; do
  case $#:${1-} in
    0: | 1:live) verdict=live ;;
    1:ready) verdict=ready ;;
    *) break ;;
  esac
  rundir=${LIVENESS_RUNDIR:-/run} unit=${LIVENESS_UNIT_NAME:-}
  [ -n "$unit" ] || read -r unit </proc/sys/kernel/hostname
  case $rundir in *[!A-Za-z0-9/._-]*) break ;; /*) ;; *) break ;; esac
  case $unit in '' | [.-]* | *[!A-Za-z0-9._-]*) break ;; esac
  [ ${#unit} -le 200 ] || break
  dir=$rundir/$unit pid='' stat='' start='' code='' now=''

  [ -f "$dir/pid" ] || break
  read -r pid <"$dir/pid"
  case $pid in '' | 0* | *[!0-9]* | ????????*) break ;; esac
  read -r stat <"/proc/$pid/stat"
  # One bracket that ends a word is that of the command's name.
  case $stat in *") "*") "*) break ;; *") "[!ZXx]" "*) ;; *) break ;; esac
  # shellcheck disable=SC2086 # split into fields
  set -- ${stat#*") "}
  { [ $# -ge 20 ] && [ -f "$dir/start" ]; } || break
  read -r start <"$dir/start"
  { [ "$start" = "${20}" ] && [ -f "$dir/error" ]; } || break
  read -r code <"$dir/error"
  [ "$code" = 0 ] || break

  if [ -d "$dir/beat" ]; then
    { [ -r "$dir/beat" ] && [ -x "$dir/beat" ]; } || break
    set +f
    set -- "$dir"/beat/*
    set -f
    read -r now rest </proc/uptime
    now=${now%%.*}
    case $now in '' | *[!0-9]* | ??????????*) break ;; esac
    for file; do
      name=${file##*/} at=''
      case $name in '' | [.-]* | *[!A-Za-z0-9._-]*) break 2 ;; esac
      { [ ${#name} -le 100 ] && [ -f "$file" ]; } || break 2
      read -r at ttl whose born rest <"$file"
      case $at in '' | 0?* | *[!0-9]* | ??????????*) break 2 ;; esac
      case $ttl in '' | 0* | *[!0-9]* | ??????????*) break 2 ;; esac
      case $whose in '' | 0* | *[!0-9]* | ????????*) break 2 ;; esac
      case $born in '' | *[!0-9]* | ?????????????????????*) break 2 ;; esac
      { [ -z "$rest" ] && [ "$at" -le "$now" ] && [ $((now - at)) -le "$ttl" ]; } || break 2
    done
  elif [ -e "$dir/beat" ] || [ -L "$dir/beat" ]; then
    break
  fi

  if [ "$verdict" = ready ]; then
    code=''
    if [ -f "$dir/ready" ]; then
      read -r code <"$dir/ready"
      [ "$code" = 0 ] || break
    elif [ -e "$dir/ready" ] || [ -L "$dir/ready" ]; then
      break
    fi
  fi
  exit 0
done 2>/dev/null
[ -z "$verdict" ] || set -- "$verdict"

# Unhealthy: FORMAT ARGUMENTS..., in one line.
fail() {
  format=$1
  shift
  # shellcheck disable=SC2059 # the formats are all in this file
  [ -n "$quiet" ] || printf "liveness: %s: $format\n" "$unit" "$@" >&3
  exit 1
}

# misuse WHAT TEXT: TEXT is shown if it is fit for a terminal.
misuse() {
  case $2 in
    '' | *[!\ -~]*) printf 'liveness: %s (health.sh -h explains)\n' "$1" >&3 ;;
    *) printf 'liveness: %s: %.60s (health.sh -h explains)\n' "$1" "$2" >&3 ;;
  esac
  exit 2
}

# The comment at the top.
help() {
  while IFS='' read -r line; do
    case $line in
      '#!'*) ;;
      '#'*)
        line=${line#\#}
        printf '%s\n' "${line# }"
        ;;
      *) break ;;
    esac
  done <"$0"
  exit 0
}

# is_number TEXT LENGTH: one to LENGTH digits. The shape is looked at before any
# sum: some shells count in 32 bits, some take 08 for octal.
is_number() {
  case $1 in
    '' | *[!0-9]*) return 1 ;;
  esac
  [ ${#1} -le "$2" ]
}

# is_count TEXT LENGTH: the same, and no zero in front.
is_count() {
  case $1 in
    0*) return 1 ;;
  esac
  is_number "$@"
}

# is_name TEXT LENGTH: can be a unit's or a heartbeat's, and never leaves its folder.
is_name() {
  case $1 in
    '' | [.-]* | *[!A-Za-z0-9._-]*) return 1 ;;
  esac
  [ ${#1} -le "$2" ]
}

# first_lines DIR FILE: its first line in $line, its second in $second, trimmed.
# Fails if there is no such file; one that cannot be read ends the probe. A FIFO
# is never opened: that would wait for a writer.
first_lines() {
  line='' second='' opened=''
  # It may go and come again between any look and the next: only what stays
  # unreadable is.
  for try in 1 2 3 4 5 6 7 8 9; do
    if [ -f "$1/$2" ]; then
      { opened=$try; read -r line; read -r second; } <"$1/$2"
      [ -z "$opened" ] || return 0
    elif ! { [ -e "$1/$2" ] || [ -L "$1/$2" ] || is_hidden "$1"; }; then
      return 1
    fi
  done
  fail 'cannot read %s' "$2"
}

# is_hidden DIR: it may hold anything, we are not allowed to look.
is_hidden() {
  place=$1
  until [ -z "$place" ] || [ -e "$place" ]; do place=${place%/*}; done
  [ -n "$place" ] && ! { [ -d "$place" ] && [ -x "$place" ]; }
}

# process PID: the $state, $threads and $start of a process. Fails if it is gone.
process() {
  whose=$1 stat='' rest=''
  # The command's name stands in brackets and may hold brackets, blanks and
  # newlines: it has ended where enough fields follow.
  while read -r rest || [ -n "$rest" ]; do
    stat="$stat $rest"
    # Bracket by bracket: to look for the last one at once takes dash longer than
    # most of what a probe does.
    while :; do
      case $stat in *") "*) stat=${stat#*") "} ;; *) break ;; esac
    done
    # shellcheck disable=SC2086 # split into fields
    set -- $stat
    [ $# -lt 20 ] || break
  done <"/proc/$1/stat"
  if [ $# -ge 20 ]; then
    state=$1 threads=${18} start=${20}
    return 0
  fi
  # No /proc, or one that hides the processes of others, proves no death.
  if [ -d "/proc/$whose" ] || ! [ -d /proc/1 ]; then fail 'cannot read /proc'; fi
  return 1
}

# The process just read has ended and waits to be buried. A program whose main
# thread has ended while others run shows Z as well, and lives.
is_zombie() {
  case $state in
    [ZXx]) [ "$threads" -le 1 ] ;;
    *) return 1 ;;
  esac
}

# Whole seconds since the boot, in $now: the clock of the heartbeats.
clock() {
  now=''
  read -r now rest </proc/uptime
  now=${now%%.*}
  is_number "$now" 9 || fail 'cannot read /proc'
}

# heartbeat NAME: fails if it has no beat that is fresh. Keeps book of the roles
# of which one is $fresh, and of those of which one was $buried.
heartbeat() {
  # A temporary file: bash lists these too under BASHOPTS=dotglob.
  case $1 in .*) return 0 ;; esac
  is_name "$1" 100 || fail 'bad heartbeat name in %.200s/beat' "$dir"
  first_lines "$dir" "beat/$1" || return 0
  name=$1 role=''
  case $1 in *.*) role=${1%.*} ;; esac
  # shellcheck disable=SC2086 # split into fields
  set -- $line
  { [ $# -eq 4 ] && is_number "$1" 9 && is_count "$2" 9 && is_count "$3" 7 && is_number "$4" 20; } ||
    fail "heartbeat '%s' is malformed" "$name"
  case $1 in 0?*) fail "heartbeat '%s' is malformed" "$name" ;; esac
  # From the future: perhaps it was written after we looked at the clock.
  [ "$1" -le "$now" ] || clock
  age=$((now - $1))
  if [ "$age" -ge 0 ] && [ "$age" -le "$2" ]; then
    beats=$((beats + 1))
    case $fresh in *" $role "*) ;; *) fresh="$fresh$role " ;; esac
  elif [ -n "$role" ] && { ! process "$3" || is_zombie || [ "$start" != "$4" ]; }; then
    case $buried in *" $role "*) ;; *) buried="$buried$role " ;; esac
  elif [ "$age" -lt 0 ]; then
    fail "heartbeat '%s' is from the future" "$name"
  else
    fail "no heartbeat '%s' for %s s (limit %s s)" "$name" "$age" "$2"
  fi
}

# Every heartbeat is fresh. A stale one named ROLE.INSTANCE is passed over if its
# process is dead and another of its role is fresh: that worker has a successor.
heartbeats() {
  fresh=' ' buried=' ' beats=0
  [ -e "$dir/beat" ] || [ -L "$dir/beat" ] || return 0
  { [ -d "$dir/beat" ] && [ -r "$dir/beat" ] && [ -x "$dir/beat" ]; } || fail 'cannot read beat'
  set +f
  set -- "$dir"/beat/*
  set -f
  # No file: the pattern itself, or nothing at all under BASHOPTS=nullglob.
  [ $# -gt 0 ] || return 0
  [ "$1" != "$dir/beat/*" ] || [ -e "$1" ] || [ -L "$1" ] || return 0

  # The clock first: a probe that is held up here must not count its own delay
  # as the worker's.
  clock
  for name; do heartbeat "${name##*/}"; done
  # shellcheck disable=SC2086 # split into roles
  for role in $buried; do
    case $fresh in
      *" $role "*) ;;
      *)
        # yash has a loop's variable for itself.
        missing=$role
        return 1
        ;;
    esac
  done
}

# A code that is not 0 was declared: WHAT, and the reason if it is fit for a terminal.
declared() {
  case $second in
    '' | *[!\ -~]*) fail '%s' "$1" ;;
    *) fail '%s: %.200s' "$1" "$second" ;;
  esac
}

live() {
  first_lines "$dir" pid || fail 'not loaded (no pid in %.200s)' "$dir"
  is_count "$line" 7 || fail 'pid is not a number'
  pid=$line
  process "$pid" || fail 'process %s is gone' "$pid"
  if is_zombie; then fail 'process %s is a zombie' "$pid"; fi
  # Identity before error: who replaces an old life removes its start last.
  if first_lines "$dir" start; then
    is_number "$line" 20 || fail 'start is not a number'
    [ "$line" = "$start" ] || fail 'pid %s belongs to another process' "$pid"
  fi
  first_lines "$dir" error || fail 'not set (no error code in %.200s)' "$dir"
  is_number "$line" 20 || fail 'error code is not a number'
  [ "$line" = 0 ] || declared "error $line"
  # Twice: a folder that changes while it is listed may hide a fresh one.
  heartbeats || heartbeats || fail "no heartbeat of any '%s'" "$missing"
}

ready() {
  live
  first_lines "$dir" ready || return 0
  is_number "$line" 20 || fail 'ready code is not a number'
  [ "$line" = 0 ] || declared 'not ready'
}

add_unit() {
  is_name "$1" 200 || misuse 'bad unit name (1 to 200 of A-Z a-z 0-9 . _ -, first neither . nor -)' "$1"
  units="$units $1"
}

main() {
  # That nobody reads what is said changes no verdict.
  trap '' PIPE
  unit='?' units='' mode='' quiet='' verbose='' rundir=${LIVENESS_RUNDIR:-/run}
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) help ;;
      -q) quiet=1 ;;
      -v) verbose=1 ;;
      -[du])
        [ $# -gt 1 ] || misuse 'option needs a value' "$1"
        case $1 in -d) rundir=$2 ;; -u) add_unit "$2" ;; esac
        shift
        ;;
      live | ready)
        [ -z "$mode" ] || misuse 'one verdict at a time' "$mode $1"
        mode=$1
        ;;
      *) misuse 'unknown argument' "$1" ;;
    esac
    shift
  done
  case $rundir in
    *[[:cntrl:]]*) misuse 'control characters in RUNDIR' '' ;;
    /*) ;;
    *) misuse 'RUNDIR is not an absolute path' "$rundir" ;;
  esac
  if [ -z "$units" ]; then
    line=${LIVENESS_UNIT_NAME:-}
    [ -n "$line" ] || read -r line </proc/sys/kernel/hostname
    [ -n "$line" ] || fail 'cannot read /proc'
    add_unit "$line"
  fi
  # shellcheck disable=SC2086 # split into names
  for unit in $units; do
    dir=$rundir/$unit
    if [ "$mode" = ready ]; then ready; else live; fi
    [ -z "$verbose" ] || printf 'liveness: %s: healthy: process %s, error 0, fresh heartbeats: %s\n' "$unit" "$pid" "$beats"
  done
  exit 0
}

# What a shell says of a file that went away is nobody's business: our own words go
# to 3, and nowhere if standard error is closed.
if true >&2; then main "$@" 3>&2 2>/dev/null; else main "$@" 3>/dev/null 2>&3; fi
