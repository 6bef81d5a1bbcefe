#!/usr/bin/env bats
# The process that a unit belongs to: is it there, does it live, is it the same one.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# in_new_pid_namespace FILE: probe from here on from this script, as the first
# process of a new namespace; its arguments are $dir and the probe.
in_new_pid_namespace() {
  under unshare --pid --fork --kill-child --mount-proc
  if ! "${before[@]}" true 2>/dev/null; then skip 'no new pid namespace is allowed here'; fi
  before+=(sh "$1" "$dir")
}

# named NAME: a process of this name (at most 15 bytes) in $pid.
named() {
  mkfifo "$tmp/never" 2>/dev/null || :
  (
    printf %s "$1" >"/proc/$BASHPID/comm"
    : >"$tmp/named"
    exec 4<"$tmp/never"
  ) >/dev/null 2>&1 3>&- &
  started $!
  eventually test -e "$tmp/named"
  rm "$tmp/named"
}

@test "a unit without a folder is not loaded" {
  rmdir "$dir"
  unhealthy "not loaded (no pid in $dir)"
  rmdir "$rundir"
  unhealthy "not loaded (no pid in $dir)"
}

@test "a unit without a pid is not loaded, whatever else is there" {
  loaded
  rm "$dir/pid"
  unhealthy "not loaded (no pid in $dir)"
  unhealthy "not loaded (no pid in $dir)" ready
}

@test "a pid and an error code are a complete unit" {
  loaded
  rm "$dir/start"
  healthy
  healthy ready
  put error 7
  unhealthy 'error 7'
}

@test "a pid is one to seven digits with no zero in front" {
  loaded
  for text in '' ' ' '\n' '\n4711' a -1 +1 0 00 0x10 1.0 1e3 '1 2' '1\t2' "0$pid" "00$pid" "$pid." "${pid}x" "x$pid" "-$pid" \
    12345678 4294967297 18446744073709551617 99999999999999999999999999 '1/../1' '../1' self '*' '?' '[0-9]' '1;2'; do
    put pid "$text"
    unhealthy 'pid is not a number'
  done
}

@test "blanks and tabs around a pid, and lines after it, are no matter" {
  loaded
  for text in ' %s' '\t%s' '%s ' '%s\t' ' \t %s\t \t' '%s\n' ' %s \n' '%s\n\n' '%s\nabc\n'; do
    put pid "$text" "$pid"
    healthy
  done
}

@test "a process that is gone is dead" {
  gone
  put pid "$pid"
  put error 0
  unhealthy "process $pid is gone"
  put start "$start"
  unhealthy "process $pid is gone"
}

@test "a process of which the kernel has no number is gone" {
  loaded
  put pid 9999999
  unhealthy 'process 9999999 is gone'
}

@test "a zombie is dead" {
  zombie
  loaded "$pid"
  unhealthy "process $pid is a zombie"
  rm "$dir/start"
  unhealthy "process $pid is a zombie"
}

@test "a program whose main thread ended while others run is alive" {
  if ! command -v python3 >/dev/null; then skip 'no python3 to end a main thread with'; fi
  python3 -c '
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
' >/dev/null 2>&1 3>&- &
  started $!
  eventually has_state Z "$pid"
  loaded "$pid"
  healthy
}

@test "a stopped process lives, as long as no heartbeat was promised" {
  loaded
  kill -STOP "$pid"
  eventually has_state T "$pid"
  healthy
  beat main 4 3
  in_one_second hung
}

hung() {
  beat main 4 3
  unhealthy "no heartbeat 'main' for 4 s (limit 3 s)"
}

@test "a process killed under the probe is found at the next one" {
  loaded
  healthy
  kill -KILL "$pid"
  eventually test ! -e "/proc/$pid"
  unhealthy "process $pid is gone"
}

@test "a pid with another start belongs to another process" {
  loaded
  for other in "$((start + 1))" "$((start - 1))" "0$start" "${start}0" 0 18446744073709551616 99999999999999999999; do
    put start "$other"
    unhealthy "pid $pid belongs to another process"
  done
}

@test "a pid that was given to another process belongs to another process" {
  cat >"$tmp/reuse" <<'END'
dir=$1; shift
sleep 600 & pid=$!
read -r stat <"/proc/$pid/stat"
printf %s "$pid" >"$dir/pid"
# shellcheck disable=SC2086
printf %s "$(set -- ${stat##*") "}; echo ${20})" >"$dir/start"
printf 0 >"$dir/error"
kill -KILL "$pid"; wait "$pid" 2>/dev/null
# Two processes of one clock tick would have the same start.
sleep 0.05
echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid || exit 90
sleep 600 &
[ "$!" = "$pid" ] || exit 91
"$@"
END
  in_new_pid_namespace "$tmp/reuse"
  probe -d "$rundir" -u web
  if [ "$status" -eq 90 ] || [ "$status" -eq 91 ]; then skip 'the kernel does not let us choose a pid'; fi
  read -r pid <"$dir/pid" || :
  answered 1 '' "liveness: web: pid $pid belongs to another process"$'\n'
}

@test "the first process of a pid namespace is a process like any other" {
  cat >"$tmp/first" <<'END'
dir=$1; shift
printf 1 >"$dir/pid"
printf 0 >"$dir/error"
"$@"
exit $?
END
  in_new_pid_namespace "$tmp/first"
  healthy
}

@test "a start is one to twenty digits" {
  loaded
  for text in '' ' ' '\n' a -1 +1 1.0 '1 2' "${start}x" 123456789012345678901 '*' '$start'; do
    put start "$text"
    unhealthy 'start is not a number'
  done
}

@test "blanks and tabs around a start, and lines after it, are no matter" {
  loaded
  for text in ' %s' '\t%s\t' '%s\n' '%s\nabc\n'; do
    put start "$text" "$start"
    healthy
  done
}

@test "the identity is tested before the error" {
  loaded
  put start "$((start + 1))"
  rm "$dir/error"
  unhealthy "pid $pid belongs to another process"
}

@test "a process may have any name" {
  for name in 'a) S 1 (b' ') Z 1 1 1' '((((' '))))' ') ' 'a) ' ' ' 'two words' '*' '$(id)' 'back\slash' $'new\nline' $'x)\nZ 1 ' $'\n\n' $'tab\t)\t' '-n' ') Z ) Z ) Z ) '; do
    named "$name"
    loaded "$pid"
    healthy
    kill -STOP "$pid"
    put start 1
    unhealthy "pid $pid belongs to another process"
  done
}

@test "a process may have a name of bytes that are no text" {
  skip_for yash 'yash reads text only'
  for name in $'\xff\xfe) Z' 'é' $'\xc3'; do
    named "$name"
    loaded "$pid"
    healthy
  done
}

@test "a /proc that is not there proves no death" {
  loaded
  under unshare --mount sh -c 'mount -t tmpfs none /proc && exec "$@"' sh
  if ! "${before[@]}" true 2>/dev/null; then skip 'no new mount namespace is allowed here'; fi
  unhealthy 'cannot read /proc'
  probe -d "$rundir"
  answered 1 '' $'liveness: ?: cannot read /proc\n'
}

@test "a /proc that hides the processes of others proves no death" {
  as_nobody
  put pid 1
  put error 0
  cat >"$tmp/hide" <<'END'
mount -t proc -o "hidepid=$1" proc /proc && shift && "$@"
END
  local nobody=("${before[@]}")
  # 1 shows the folder of the process, 2 not even that.
  for hidepid in 1 2; do
    under unshare --pid --fork --kill-child --mount-proc sh "$tmp/hide" "$hidepid" "${nobody[@]}"
    if ! "${before[@]}" test ! -r /proc/1/stat 2>/dev/null; then skip 'no new /proc is allowed here'; fi
    unhealthy 'cannot read /proc'
  done
}
