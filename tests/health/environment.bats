#!/usr/bin/env bats
# Where and how the probe is called: by whom, with what in the environment, with
# what closed.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

stale="heartbeat 'main' is from the future"
with_a_stale_beat() { beat main -1000 60; }

# in_any_case COMMAND...: behind it the verdict is true, be it good or bad.
in_any_case() {
  under "$@"
  rm -rf "$dir/beat"
  healthy || return
  mkdir "$dir/beat"
  healthy || return
  with_a_stale_beat
  unhealthy "$stale" || return
  beat main 0 600
  healthy ready
}

# with_redirection REDIRECTION: probe from here on with this one, the last thing
# that is done before the shell is started.
with_redirection() {
  under sh -c "exec \"\$@\" $1" sh
}

@test "LIVENESS_RUNDIR says where the units are" {
  loaded
  under env LIVENESS_RUNDIR="$rundir"
  probe -u web
  answered 0 '' ''
  put error 7
  probe -u web
  answered 1 '' $'liveness: web: error 7\n'
}

@test "LIVENESS_UNIT_NAME names the unit" {
  loaded
  under env LIVENESS_UNIT_NAME=web
  probe -d "$rundir"
  answered 0 '' ''
  under env LIVENESS_UNIT_NAME=other
  probe -d "$rundir"
  answered 1 '' "liveness: other: not loaded (no pid in $rundir/other)"$'\n'
}

@test "the units are in /run unless someone says otherwise" {
  unit=no-unit.$$.$RANDOM
  probe -u "$unit"
  answered 1 '' "liveness: $unit: not loaded (no pid in /run/$unit)"$'\n'
}

@test "the unit is named after the host unless someone says otherwise" {
  local host
  read -r host </proc/sys/kernel/hostname
  probe -d "$rundir"
  answered 1 '' "liveness: $host: not loaded (no pid in $rundir/$host)"$'\n'
  unit "$host"
  loaded
  probe -d "$rundir"
  answered 0 '' ''
}

@test "HOSTNAME in the environment is not the host's name" {
  local host
  read -r host </proc/sys/kernel/hostname
  under env HOSTNAME=web HOST=web
  loaded
  probe -d "$rundir"
  answered 1 '' "liveness: $host: not loaded (no pid in $rundir/$host)"$'\n'
}

@test "an empty variable counts as unset" {
  local host
  read -r host </proc/sys/kernel/hostname
  under env LIVENESS_RUNDIR= LIVENESS_UNIT_NAME=
  unit "$host"
  loaded
  probe -d "$rundir"
  answered 0 '' ''
  unit=no-unit.$$.$RANDOM
  probe -u "$unit"
  answered 1 '' "liveness: $unit: not loaded (no pid in /run/$unit)"$'\n'
}

@test "an empty environment is enough" {
  loaded
  in_any_case env -i
  loaded
  under env -i LIVENESS_RUNDIR="$rundir" LIVENESS_UNIT_NAME=web
  probe
  [ "$status" -eq 0 ]
}

@test "no PATH is needed" {
  loaded
  for path in /nonexistent '' .; do
    under env -i PATH="$path"
    healthy
    put error '7\nqueue lost'
    probe -d "$rundir" -u web
    [ "$status" -eq 1 ]
    # It has no printf of its own.
    case $shell_name in
      mksh | lksh) ;;
      *) answered 1 '' $'liveness: web: error 7: queue lost\n' ;;
    esac
    probe -x
    [ "$status" -eq 2 ]
    probe -h
    [ "$status" -eq 0 ]
    put error 0
  done
}

@test "commands of these names on PATH are not called" {
  mkdir "$tmp/bin"
  for name in '[' test printf read cat sed grep ls stat kill ps true false; do
    printf '#!/bin/sh\ntouch "%s/called"\nexit 0\n' "$tmp" >"$tmp/bin/$name"
    chmod +x "$tmp/bin/$name"
  done
  loaded
  under env PATH="$tmp/bin:$PATH"
  healthy
  put error 7
  probe -q -d "$rundir" -u web
  [ "$status" -eq 1 ]
  [ ! -e "$tmp/called" ]
}

@test "the verdict is the same with standard input closed" {
  loaded
  with_redirection '<&-'
  in_any_case "${before[@]}"
}

@test "the verdict is the same with standard output closed" {
  loaded
  with_redirection '>&-'
  in_any_case "${before[@]}"
  probe -v -d "$rundir" -u web
  [ "$status" -eq 0 ]
}

@test "the verdict is the same with standard error closed" {
  loaded
  with_redirection '2>&-'
  verdicts_hold
}

@test "the verdict is the same with everything closed" {
  loaded
  with_redirection '<&- >&- 2>&-'
  verdicts_hold
}

@test "the verdict is the same with nowhere left to write to" {
  loaded
  with_redirection '>/dev/full 2>/dev/full'
  verdicts_hold
}

# The exit status is all that is left.
verdicts_hold() {
  probe -d "$rundir" -u web
  answered 0 '' '' || return
  probe -v -d "$rundir" -u web
  [ "$status" -eq 0 ] || return
  for file in error pid; do
    rm "$dir/$file"
    probe -d "$rundir" -u web
    [ "$status" -eq 1 ] || return
  done
  loaded
  with_a_stale_beat
  probe -d "$rundir" -u web
  [ "$status" -eq 1 ] || return
  probe -x
  [ "$status" -eq 2 ]
}

@test "what is on standard input is not read" {
  loaded
  echo 7 >"$tmp/input"
  with_redirection "<'$tmp/input'"
  in_any_case "${before[@]}"
}

@test "IFS, globs and other settings of shells in the environment change nothing" {
  loaded
  for setting in IFS=0 IFS=/ IFS= 'GLOBIGNORE=*' "GLOBIGNORE=$dir/beat/*" CDPATH=/ POSIXLY_CORRECT=1 PWD=/nonexistent \
    FIGNORE=main 'FIGNORE=*' SHELLOPTS=errexit SHELLOPTS=errexit:pipefail:noglob:nounset; do
    in_any_case env "$setting"
  done
}

stale_for_100_seconds() {
  beat main 100 30
  unhealthy "no heartbeat 'main' for 100 s (limit 30 s)"
}

@test "options of bash in the environment neither hide heartbeats nor make any" {
  loaded
  mkdir "$dir/beat"
  for option in nullglob dotglob nocaseglob failglob; do
    under env BASHOPTS=$option
    rm -f "$dir/beat/main"
    put beat/.main.0123456789ab ''
    healthy
    rm "$dir/beat/.main.0123456789ab"
    healthy
    in_one_second stale_for_100_seconds
  done
}

@test "options of bash in the environment change no verdict on jobs, checks and expectations" {
  loaded
  for option in nullglob dotglob nocaseglob failglob; do
    under env BASHOPTS=$option
    for folder in beat job check expect; do mkdir -p "$dir/$folder"; done
    healthy ready
    for folder in job check expect; do
      put "$folder/.x.0123456789ab" ''
      healthy ready
      case $folder in
        job) reason="job 'x' is from the future" ;;
        check) reason="check 'x' is from the future" ;;
        expect) reason="0 of 2 'x' heartbeats" ;;
      esac
      lease "$folder/x" -1000 60 "$pid" "$start" "$([ "$folder" != expect ] || echo 2)"
      unhealthy "$reason" ready
      rm "$dir/$folder/x"
    done
    rm -r "$dir"/{beat,job,check,expect}
    for folder in beat job check expect; do
      touch "$dir/$folder"
      unhealthy "cannot read $folder" ready
      rm "$dir/$folder"
    done
  done
}

@test "the script's own names in the environment change nothing" {
  loaded
  in_any_case env OPTIND=5 now=0 line=0 second=x opened=1 quiet=1 verbose=1 rundir=/nonexistent units=other mode=ready unit=x beats=7 \
    fresh=' worker ' buried=' worker ' role=worker state=Z threads=1 stat=x rest=x try=2 whose=1 pid=1 start=1 age=0 name=x dir=/nonexistent
  put error 7
  unhealthy 'error 7'
}

@test "a shell that was told to end at the first failure gives the same verdict" {
  loaded
  shell+=(-e)
  in_any_case
  put error 7
  unhealthy 'error 7'
}

@test "that nobody reads what is said changes no verdict" {
  loaded
  local end=0
  {
    # The reader is gone before the probe begins.
    eventually test -e "$tmp/gone"
    env --default-signal=PIPE "${shell[@]}" "$HEALTH_SH" -v -d "$rundir" -u web || end=$?
    echo "$end" >"$tmp/status"
  } | {
    exec <&-
    : >"$tmp/gone"
  }
  read -r end <"$tmp/status"
  [ "$end" -eq 0 ]
}

@test "a file that ENV names is not run" {
  loaded
  echo ": >'$tmp/canary'; exit 0" >"$tmp/env"
  under env ENV="$tmp/env"
  healthy
  put error 7
  unhealthy 'error 7'
  [ ! -e "$tmp/canary" ]
}

@test "the verdict is the same in any locale" {
  loaded
  for locale in C POSIX C.UTF-8; do
    in_any_case env LC_ALL="$locale" LANG="$locale"
    in_any_case env -u LC_ALL LC_CTYPE="$locale" LC_COLLATE="$locale"
  done
  # Of a locale that is not installed some shells complain, before the script begins.
  for locale in en_US.UTF-8 tr_TR.UTF-8 nonsense; do
    under env LC_ALL="$locale"
    probe -d "$rundir" -u web
    [ "$status" -eq 0 ]
    probe -d "$rundir" -u none
    [ "$status" -eq 1 ]
  done
}

@test "the verdict is the same in a folder that was deleted" {
  loaded
  mkdir "$tmp/deleted"
  cd "$tmp/deleted"
  rmdir "$tmp/deleted"
  probe -d "$rundir" -u web
  [ "$status" -eq 0 ]
  put error 7
  probe -d "$rundir" -u web
  [ "$status" -eq 1 ]
  cd /
}

@test "the verdict is the same in any folder" {
  loaded
  for folder in / /proc /dev "$dir"; do
    cd "$folder"
    in_any_case env
  done
}

@test "the script may be called by a relative path, and through a link" {
  loaded
  cp "$HEALTH_SH" "$tmp/copy.sh"
  ln -s copy.sh "$tmp/link.sh"
  cd "$tmp"
  for HEALTH_SH in copy.sh ./copy.sh link.sh "$tmp/link.sh"; do
    in_any_case env
    probe -h
    [ "$status" -eq 0 ]
  done
}

@test "an unprivileged user gets the same verdict" {
  loaded
  as_nobody
  in_any_case "${before[@]}"
  probe -d "$rundir" -u none
  answered 1 '' "liveness: none: not loaded (no pid in $rundir/none)"$'\n'
}

@test "an unprivileged user gets the same verdict on a process of another user" {
  as_nobody
  loaded 1
  healthy
  put start 1
  unhealthy 'pid 1 belongs to another process'
}

@test "nothing is written to the folders of the units" {
  loaded
  beat main 0 600
  listed >"$tmp/before"
  healthy ready
  probe -v -d "$rundir" -u web
  probe -d "$rundir" -u web -u none
  listed >"$tmp/after"
  cmp "$tmp/before" "$tmp/after"
}
listed() { find "$rundir" -printf '%p %i %m %T@ %C@\n' | sort; }

@test "a read-only file system is no hindrance" {
  loaded
  under unshare --mount sh -c 'mount -o remount,ro,bind / && exec "$@"' sh
  if ! "${before[@]}" true 2>/dev/null; then skip 'no read-only root is allowed here'; fi
  healthy
  put error 7
  unhealthy 'error 7'
  put error 0
  with_a_stale_beat
  unhealthy "$stale"
  beat main 0 600
  healthy ready
}
