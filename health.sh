#!/bin/sh
# health.sh - tell Kubernetes whether a process is alive, from the files that it writes
# Run health.sh -h for the options. The reasons for the lines up to "exit 0" follow them.

set -fu +e
unset FIGNORE
LC_ALL=C

# The short way. It only ever says "healthy".
verdict=''
while :; do
  case $#:${1-} in 0: | 1:live) verdict=live ;; 1:ready) verdict=ready ;; *) break ;; esac
  rundir=${LIVENESS_RUNDIR:-/run} unit=${LIVENESS_UNIT_NAME:-}
  [ -n "$unit" ] || read -r unit </proc/sys/kernel/hostname
  case $rundir/$unit in *[!A-Za-z0-9/._-]* | */../*) break ;; /*) ;; *) break ;; esac
  case $unit in '' | [.-]* | */*) break ;; esac
  { [ ${#unit} -le 200 ] && cd "$rundir/$unit"; } || break
  pid='' stat='' start='' code='' now=''

  [ -f pid ] || break
  read -r pid <./pid
  case $pid in '' | 0* | *[!0-9]* | ????????*) break ;; esac
  read -r stat <"/proc/$pid/stat"
  case $stat in *") "*") "*) break ;; *") "[!ZXx]" "*) ;; *) break ;; esac
  # shellcheck disable=SC2086 # split into fields
  set -- ${stat#*") "}
  { [ $# -ge 20 ] && [ -f start ]; } || break
  read -r start <./start
  { [ "$start" = "${20}" ] && [ -f error ]; } || break
  read -r code <error
  [ "$code" = 0 ] || break
  set +f
  set -- *
  case "$verdict $* " in 'ready '*' ready '*) code='' && [ -f ready ] && read -r code <ready ;; esac
  [ "$code" = 0 ] || break
  case $* in 'error pid start' | 'error pid ready start') exit 0 ;; *error*pid*start*) ;; *) break ;; esac
  read -r now rest </proc/uptime
  now=${now%%.*}
  case $now in '' | *[!0-9]* | ??????????*) break ;; esac
  for entry; do
    case $entry in
      pid | start | error | ready) continue ;;
      beat | job | check) set -- "$entry"/* ;;
      *) break 2 ;;
    esac
    case $#${1-} in
      0) break 2 ;;
      1*/\*) if [ -d "$entry" ] && [ -r "$entry" ] && [ -x "$entry" ] && ! [ -e "$1" ] && ! [ -L "$1" ]; then continue; fi ;;
    esac
    for file; do
      at=''
      case $file in */[.-]* | */*[!A-Za-z0-9._-]*) break 3 ;; esac
      { [ ${#file} -le 104 ] && [ -f "$file" ]; } || break 3
      read -r at ttl owner rest <"$file"
      case $at in '' | 0?* | *[!0-9]* | ??????????*) break 3 ;; esac
      case $ttl in '' | 0* | *[!0-9]* | ??????????*) break 3 ;; esac
      [ "$owner $rest $((at <= now && now - at <= ttl))" = "$pid $start 1" ] || break 3
    done
  done
  exit 0
done 2>/dev/null
set -f
[ -z "$verdict" ] || set -- "$verdict"

# About the lines above. No command starts a process, not even a subshell: no child outlives
# the probe, and it needs no PATH. -f: nothing in a file may turn into file names. +e: a
# failing read is an answer. ksh93 would skip the leases that FIGNORE names. LC_ALL: ranges
# and lengths count bytes. The short way is for the usual case: the environment names a
# healthy unit whose leases were all written by its own process. Everything else goes the
# long way below, which no shell has parsed until then. So do LINK/.. (cd drops it, while
# opening a file follows the link) and a command's name with a bracket in /proc/PID/stat.

# fail FORMAT ARGUMENT...: the unit is unhealthy, and this is the one line that says why.
fail() {
  format=$1 && shift
  # shellcheck disable=SC2059 # the formats are all in this file
  [ -n "$quiet" ] || printf "liveness: %s: $format\n" "$unit" "$@" >&3
  exit 1
}

# misuse WHAT TEXT: TEXT is shown if it is fit for a terminal.
misuse() {
  case $2 in '' | *[!\ -~]*) set -- "$1" '' ;; *) set -- "$1" ": $2" ;; esac
  printf 'liveness: %s%.62s (health.sh -h explains)\n' "$1" "$2" >&3
  exit 2
}

help() {
  printf '%s\n' "health.sh - tell Kubernetes whether a process is alive, from the files that it writes

Usage: health.sh [-h] [-q] [-v] [-d RUNDIR] [-u UNITNAME]... [live|ready]

  live         the process exists, has declared itself healthy, and keeps its
               promises: heartbeats, deadlines, expectations (the default; use
               it for startup probes, too)
  ready        live, not declared unready, and no background check fails

  -d RUNDIR    the directory of all units (\$LIVENESS_RUNDIR, else /run)
  -u UNITNAME  the unit (\$LIVENESS_UNIT_NAME, else the kernel's hostname);
               if given more than once, every unit must pass
  -q           print nothing
  -v           also print why a healthy unit is healthy
  -h           print this help

Exit status: 0 healthy, 1 unhealthy, 2 misuse. The reason is one line on standard
error: the kubelet shows it in the pod's events."
  exit 0
}

# is_number TEXT LENGTH: 1 to LENGTH digits. The shape is checked before any sum: some
# shells count in 32 bits, some take 08 for octal.
is_number() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  [ ${#1} -le "$2" ]
}

# is_count TEXT LENGTH: the same, without a leading zero.
is_count() {
  case $1 in 0*) return 1 ;; esac
  is_number "$@"
}

# is_name TEXT LENGTH: can name a unit or a lease.
is_name() {
  case $1 in '' | [.-]* | *[!A-Za-z0-9._-]*) return 1 ;; esac
  [ ${#1} -le "$2" ]
}

# first_lines FILE: its first line in $line, its second in $second, trimmed. Fails if
# the file does not exist; a file that cannot be read ends the probe. A FIFO is never
# opened: that would wait for a writer.
first_lines() {
  line='' second='' opened=''
  # It may be removed and written again between two looks: only what stays unreadable is.
  for try in 1 2 3 4 5 6 7 8 9; do
    if [ -f "$dir/$1" ]; then
      { opened=$try; read -r line; read -r second; } <"$dir/$1"
      [ -z "$opened" ] || return 0
    elif ! { [ -e "$dir/$1" ] || [ -L "$dir/$1" ] || is_hidden "$dir"; }; then
      return 1
    fi
  done
  fail 'cannot read %s' "$1"
}

# is_hidden DIR: it may contain anything; this process may not look.
is_hidden() {
  place=$1
  until [ -z "$place" ] || [ -e "$place" ]; do place=${place%/*}; done
  [ -n "$place" ] && ! { [ -d "$place" ] && [ -x "$place" ]; }
}

# process PID: its $state, $threads and $born (field 22 of its stat). Fails if it is gone.
process() {
  looked_up=$1 stat='' rest=''
  # The command's name is in brackets and may contain brackets, blanks and newlines: it
  # has ended where enough fields follow.
  while read -r rest || [ -n "$rest" ]; do
    stat="$stat $rest"
    # Bracket by bracket: dash is slow to find the last one at once.
    while :; do case $stat in *") "*) stat=${stat#*") "} ;; *) break ;; esac done
    # shellcheck disable=SC2086 # split into fields
    set -- $stat
    [ $# -lt 20 ] || break
  done <"/proc/$1/stat"
  if [ $# -ge 20 ]; then
    state=$1 threads=${18} born=${20}
    return 0
  fi
  # A /proc that is not there, or that hides the processes of others, proves no death.
  if [ -d "/proc/$looked_up" ] || ! [ -d /proc/1 ]; then fail 'cannot read /proc'; fi
  return 1
}

# is_zombie: the process just looked up has ended and waits for its parent. A program
# whose main thread has ended while others run is also in state Z; it is alive.
is_zombie() {
  case $state in [ZXx]) [ "$threads" -le 1 ] ;; *) return 1 ;; esac
}

# clock: whole seconds since boot in $now, the clock of the leases.
clock() {
  now=''
  read -r now rest </proc/uptime
  now=${now%%.*}
  is_number "$now" 9 || fail 'cannot read /proc'
}

# look_at FOLDER: judges every lease. Fails if all leases of an $orphaned role are dead.
look_at() {
  folder=$1 fresh=' ' dead=''
  case $1 in
    beat) noun=heartbeat stale="no heartbeat '%s'" gone="heartbeat '%s'" none='no heartbeat of any' ;;
    check) noun=check stale="not ready: no result of '%s'" gone=$stale none='not ready: no result of any' ;;
    job) noun=job stale="job '%s' has run" ;;
    expect) noun=expectation expected='' ;;
  esac
  [ -e "$dir/$1" ] || [ -L "$dir/$1" ] || return 0
  { [ -d "$dir/$1" ] && [ -r "$dir/$1" ] && [ -x "$dir/$1" ]; } || fail 'cannot read %s' "$1"
  set +f
  set -- "$dir/$1"/*
  set -f
  # An empty folder leaves the pattern, or nothing at all under BASHOPTS=nullglob.
  case $#${1-} in 0) return 0 ;; "1$dir/$folder/*") [ -e "$1" ] || [ -L "$1" ] || return 0 ;; esac
  # Before the first lease: the probe must not count its own delay as the worker's.
  [ -n "$now" ] || clock
  for file; do
    name=${file##*/}
    # Temporary files: bash lists these too under BASHOPTS=dotglob.
    case $name in .*) continue ;; esac
    is_name "$name" 100 || fail 'bad name in %.200s/%s' "$dir" "$folder"
    if read_lease; then judge; fi
  done
  # shellcheck disable=SC2086 # split into roles
  for role in $dead; do
    # yash keeps a loop's variable to itself.
    case $fresh in *" $role"*) ;; *) orphaned=${role%/} && return 1 ;; esac
  done
}

# read_lease: the lease $folder/$name in $at $ttl $owner $code and $second, and in $alive
# whether the process that wrote it is alive. Fails if it does not exist any more.
read_lease() {
  for try in 1 2 3 4 5 6 7 8 9; do
    first_lines "$folder/$name" || return 1
    found=$line alive=1
    # shellcheck disable=SC2086 # split into fields
    set -- $line
    { [ $# -eq 4 ] || [ $# -eq 5 ]; } || malformed
    at=$1 ttl=$2 owner=$3 code=${5-0}
    # Not by is_number: calls of functions would be half of what a lease costs in bash.
    case $line in *[!0-9[:blank:]]*) malformed ;; esac
    case $at in 0?* | ??????????*) malformed ;; esac
    case $ttl in 0* | ??????????*) malformed ;; esac
    case $owner in 0* | ????????*) malformed ;; esac
    { [ ${#4} -le 20 ] && [ ${#code} -le 20 ]; } || malformed
    case $folder:$code in job:0 | beat:* | check:*) ;; expect:[!0]*) [ ${#code} -le 9 ] || malformed ;; *) malformed ;; esac
    [ "$3 $4" != "$identity" ] || return 0
    if process "$3" && ! is_zombie && [ "$born" = "$4" ]; then return 0; fi
    # A process may remove its lease, and then end, between the two looks.
    alive=''
    first_lines "$folder/$name" || return 1
    [ "$line" != "$found" ] || return 0
  done
}

malformed() { fail "%s '%s' is malformed" "$noun" "$name"; }

# judge: fails if this lease is broken. What becomes of a killed job is the matter of its
# queue, and an expectation ends with its process.
judge() {
  case $name in *.*) role=${name%.*}/ ;; *) role='' ;; esac
  case $folder:$alive:$role in
    job:: | job::?* | expect::*) return 0 ;;
    beat:: | check::) fail "$gone: process %s is gone" "$name" "$owner" ;;
    beat::* | check::*) dead="$dead $role" && return 0 ;;
  esac
  # From the future: perhaps it was written after the look at the clock.
  [ "$at" -le "$now" ] || clock
  age=$((now - at))
  case $folder:$((age >= 0 && age <= ttl)):$code in
    expect:1:*) return 0 ;;
    expect:*) expected="$expected $name:$code" && return 0 ;;
    *:1:0) ;;
    beat:1:*) declared "error $code" 160 " ($name)" ;;
    *:1:*) declared 'not ready' 160 " ($name)" ;;
    *)
      [ "$age" -ge 0 ] || fail "%s '%s' is from the future" "$noun" "$name"
      fail "$stale for %s s (limit %s s)" "$name" "$age" "$ttl"
      ;;
  esac
  # role/instance, since no name contains a slash.
  fresh="$fresh$role${name##*.} "
}

# loops FOLDER: every lease in beat/ or check/ is good.
loops() {
  # Twice: a folder that changes while it is listed may hide a fresh one.
  look_at "$1" || look_at "$1" || fail "$none '%s'" "$orphaned"
}

# expectations: each expected role has enough fresh heartbeats, at the second look at the latest.
expectations() {
  look_at expect
  fresh=$fresh_loops
  # shellcheck disable=SC2086 # split into pairs
  for pair in $expected; do
    are_enough "${pair%:*}" "${pair#*:}" || loops beat
    are_enough "${pair%:*}" "${pair#*:}" || fail "%s of %s '%s' heartbeats" "$found" "${pair#*:}" "${pair%:*}"
  done
}

# are_enough ROLE NUMBER: at least NUMBER heartbeats of the role are fresh; $found counts them.
are_enough() {
  found=0
  # shellcheck disable=SC2086 # split into names
  for loop in $fresh; do
    case $loop in "$1"/*) found=$((found + 1)) ;; esac
  done
  [ "$found" -ge "$2" ]
}

# require_zero MALFORMED WHAT: the code just read is 0.
require_zero() {
  is_number "$line" 20 || fail "$1"
  [ "$line" = 0 ] || declared "$2" 200 ''
}

# declared WHAT LENGTH BY: fails, with the second line if it is fit for a terminal.
declared() {
  case $second in '' | *[!\ -~]*) fail '%s%s' "$1" "$3" ;; *) fail "%s: %.$2s%s" "$1" "$second" "$3" ;; esac
}

live() {
  now=''
  first_lines pid || fail 'not loaded (no pid in %.200s)' "$dir"
  is_count "$line" 7 || fail 'pid is not a number'
  pid=$line
  process "$pid" || fail 'process %s is gone' "$pid"
  if is_zombie; then fail 'process %s is a zombie' "$pid"; fi
  identity="$pid $born"
  # Identity before error: a process that removes an old life removes its start last.
  if first_lines start; then
    is_number "$line" 20 || fail 'start is not a number'
    [ "$line" = "$born" ] || fail 'pid %s belongs to another process' "$pid"
  fi
  first_lines error || fail 'not set (no error code in %.200s)' "$dir"
  require_zero 'error code is not a number' "error $line"
  loops beat
  fresh_loops=$fresh
  look_at job
  expectations
}

ready() {
  live
  if first_lines ready; then require_zero 'ready code is not a number' 'not ready'; fi
  loops check
}

add_unit() {
  is_name "$1" 200 || misuse 'bad unit name (1 to 200 of A-Z a-z 0-9 . _ -, first neither . nor -)' "$1"
  units="$units $1"
}

main() {
  # The verdict is the same if nobody reads what is printed.
  trap '' PIPE
  # shellcheck disable=SC3028,SC3044 # only bash has failglob, and would end at an empty folder
  case ${BASHOPTS-} in *failglob*) shopt -u failglob ;; esac
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
    # shellcheck disable=SC2086 # split into names
    set -- $fresh_loops
    [ -z "$verbose" ] || printf 'liveness: %s: healthy: process %s, error 0, fresh heartbeats: %s\n' "$unit" "$pid" $#
  done
  exit 0
}

# A shell complains about a file that has gone; nobody must see that. Our own words go to
# descriptor 3, or nowhere if standard error is closed.
if true >&2; then main "$@" 3>&2 2>/dev/null; else main "$@" 3>/dev/null 2>&3; fi
