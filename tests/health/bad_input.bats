#!/usr/bin/env bats
# What no program writes, in the place of what it does: it never passes, never
# blocks, is never executed and never prints more than one line of 512 bytes.
# shellcheck disable=SC2154 # helper.bash sets the names in lower case
# shellcheck disable=SC2016 # what looks like an expansion is text, or for another shell
# shellcheck disable=SC2030,SC2031 # every test has its own

load helper

# A healthy unit with every file that the short way reads.
with_every_file() {
  loaded
  put ready 0
  beat main 0 600
  lease job/import 0 600
  lease check/database 0 600
}
files='pid start error ready beat/main job/import check/database'
folders='beat job check'

# with_an_expectation: and with the one that only the long way reads.
with_an_expectation() {
  with_every_file
  lease expect/worker 0 600 "$pid" "$start" 4
  files='expect/worker' folders='expect'
}

# each_file_is COMMAND...: run with each state file's path in turn, which is free
# then, and whatever it makes there cannot be read. Behind it all is healthy again.
each_file_is() {
  local file
  for file in $files; do
    mv "$dir/$file" "$tmp/kept"
    "$@" "$dir/$file" || return
    unhealthy "cannot read $file" ready || return
    rm -rf "${dir:?}/$file"
    mv "$tmp/kept" "$dir/$file"
    healthy ready || return
  done
}

# each_folder_is COMMAND...: the same for the folders of the leases.
each_folder_is() {
  local folder
  for folder in $folders; do
    mv "$dir/$folder" "$tmp/kept"
    "$@" "$dir/$folder" || return
    unhealthy "cannot read $folder" ready || return
    rm -rf "${dir:?}/$folder"
    mv "$tmp/kept" "$dir/$folder"
    healthy ready || return
  done
}

# each_content FORMAT [ARGUMENT...]: so in each file, and never a number.
each_content() {
  local file kept
  for file in $files; do
    IFS='' read -r -d '' kept <"$dir/$file" || :
    put "$file" "$@"
    case $file in
      beat/*) unhealthy "heartbeat '${file#*/}' is malformed" ready || return ;;
      expect/*) unhealthy "expectation '${file#*/}' is malformed" ready || return ;;
      */*) unhealthy "${file%/*} '${file#*/}' is malformed" ready || return ;;
      pid | start) unhealthy "$file is not a number" ready || return ;;
      *) unhealthy "$file code is not a number" ready || return ;;
    esac
    put "$file" %s "$kept"
  done
}

# with_and_without_an_expectation COMMAND...: run in both units.
with_and_without_an_expectation() {
  with_every_file
  "$@" || return
  with_an_expectation
  "$@"
}

@test "a FIFO in the place of a file is never waited for" {
  never_waited_for() {
    each_file_is mkfifo
    each_folder_is mkfifo
  }
  with_and_without_an_expectation never_waited_for
}

@test "a directory in the place of a file cannot be read" {
  with_and_without_an_expectation each_file_is mkdir
}

@test "a file in the place of a folder of leases cannot be read" {
  files_for_folders() {
    each_folder_is touch
    each_folder_is install -m 755 /dev/null
    each_folder_is ln -s "$dir/pid"
  }
  with_and_without_an_expectation files_for_folders
}

@test "a dangling link in the place of a file is no absent file" {
  dangling() {
    each_file_is ln -s nowhere
    each_folder_is ln -s nowhere
  }
  with_and_without_an_expectation dangling
}

@test "a link to itself cannot be read" {
  itself() { ln -s "${1##*/}" "$1"; }
  loops() {
    each_file_is itself
    each_folder_is itself
  }
  with_and_without_an_expectation loops
}

@test "a device in the place of a file is never read" {
  devices() {
    for device in /dev/zero /dev/null; do
      each_file_is ln -s "$device"
      each_folder_is ln -s "$device"
    done
  }
  with_and_without_an_expectation devices
}

@test "a link to a FIFO cannot be read" {
  mkfifo "$tmp/fifo"
  links_to_a_fifo() {
    each_file_is ln -s "$tmp/fifo"
    each_folder_is ln -s "$tmp/fifo"
  }
  with_and_without_an_expectation links_to_a_fifo
}

@test "a link to a regular file is as good as the file" {
  with_every_file
  each() {
    mv "$dir/$1" "$tmp/real"
    ln -s "$tmp/real" "$dir/$1"
    healthy ready || return
    rm "$dir/$1"
    mv "$tmp/real" "$dir/$1"
  }
  for file in $files $folders; do each "$file"; done
  with_an_expectation
  for file in $files $folders; do each "$file"; done
}

@test "a file without permission cannot be read" {
  as_nobody
  no_permission() {
    for file in $files $folders; do
      mode=$(stat -c %a "$dir/$file")
      chmod 000 "$dir/$file"
      unhealthy "cannot read $file" ready
      chmod "$mode" "$dir/$file"
    done
    healthy ready
  }
  with_and_without_an_expectation no_permission
}

@test "a folder of leases that can be entered but not listed, or listed but not entered, cannot be read" {
  as_nobody
  half_open() {
    for folder in $folders; do
      for mode in 111 444; do
        chmod "$mode" "$dir/$folder"
        unhealthy "cannot read $folder" ready
      done
      chmod 755 "$dir/$folder"
    done
    healthy ready
  }
  with_and_without_an_expectation half_open
}

@test "a folder without permission may hide anything" {
  with_every_file
  as_nobody
  chmod 000 "$dir"
  unhealthy 'cannot read pid'
  chmod 755 "$dir"
  chmod 000 "$rundir"
  unhealthy 'cannot read pid'
  chmod 755 "$rundir"
  healthy
}

@test "a folder that can be entered but not listed is enough" {
  with_every_file
  as_nobody
  chmod 111 "$dir" "$rundir"
  healthy ready
  chmod 755 "$rundir" "$dir"
}

@test "a file in the place of the unit's folder is no folder" {
  rmdir "$dir"
  touch "$dir"
  unhealthy 'cannot read pid'
  rm "$dir"
  mkfifo "$dir"
  unhealthy 'cannot read pid'
}

@test "an empty file in the place of any is no number" {
  with_and_without_an_expectation each_content ''
}

@test "a line that ends in CR LF is no number" {
  with_an_expectation
  each_content '0\r\n'
  rm -r "$dir/expect"
  with_every_file
  files='pid start error ready beat/main job/import check/database'
  each_content '0\r\n'
  put pid '%s\r\n' "$pid"
  unhealthy 'pid is not a number'
  put pid "$pid"
  put start '%s\r\n' "$start"
  unhealthy 'start is not a number'
  put start "$start"
  put beat/main '1 600 %s %s\r\n' "$pid" "$start"
  unhealthy "heartbeat 'main' is malformed"
}

@test "64 KB without a newline are no number" {
  local zeros
  printf -v zeros '%065536d' 0
  with_and_without_an_expectation each_content %s "$zeros"
}

@test "64 KB of blanks, or of reason, are one line" {
  local long
  with_every_file
  printf -v long '%065536d' 0
  put error '7\n%s' "$long"
  unhealthy "error 7: ${long:0:200}"
  put error '%65536s' ''
  unhealthy 'error code is not a number'
}

@test "what a shell would execute is never executed" {
  with_every_file
  cd "$tmp"
  for text in '$(touch canary)' '`touch canary`' '0; touch canary' "'; touch canary; '" '"; touch canary; "' '> canary' \
    'a[$(touch canary)]' '0+a[`touch canary`]' '${a:=$(touch canary)}' '=(touch canary)' '*(e:touch canary:)'; do
    each_content %s "$text"
    put error '7\n%s\n' "$text"
    unhealthy "error 7: $text"
    put error 0
    clock
    for beat in "$text 60 $pid $start" "$now $text $pid $start"; do
      put beat/main %s "$beat"
      unhealthy "heartbeat 'main' is malformed"
    done
    beat main 0 600
  done
  [ ! -e canary ]
}

@test "what a shell would execute is never executed in a name" {
  with_every_file
  cd "$tmp"
  for name in '$(touch canary)' '`touch canary`' ';touch canary' 'a[$(touch canary)]' '|touch canary' '(e:touch canary:)' '*(e:touch canary:)'; do
    beat "$name" 0 600
    unhealthy "bad name in $dir/beat"
    rm -- "$dir/beat/$name"
    probe -d "$rundir" -u "$name"
    [ "$status" -eq 2 ]
    probe -d "$name" -u web
    [ "$status" -eq 2 ]
    probe -d "$rundir/$name" -u web
    answered 1 '' "liveness: web: not loaded (no pid in $rundir/$name/web)"$'\n'
    probe -d "$rundir" -u web "$name"
    [ "$status" -eq 2 ]
  done
  [ ! -e canary ]
}

@test "a glob in a file is never expanded" {
  with_every_file
  # In this folder the globs below would be a healthy unit.
  mkdir "$tmp/numbers"
  cd "$tmp/numbers"
  touch 0
  for text in '*' '?' '[0]' '0*'; do each_content %s "$text"; done
  clock
  mv 0 "$now"
  for at in '*' '[0-9]*' "[0-9]${now#?}"; do
    put beat/main '%s 600 %s %s' "$at" "$pid" "$start"
    unhealthy "heartbeat 'main' is malformed"
  done
}

@test "a dangling link whose name is a pattern is a bad name, and not an empty folder" {
  with_every_file
  rm -r "$dir/beat" "$dir/job" "$dir/check"
  for folder in beat job check expect; do
    mkdir "$dir/$folder"
    healthy ready
    ln -s nowhere "$dir/$folder/*"
    unhealthy "bad name in $dir/$folder" ready
    rm -r "${dir:?}/$folder"
  done
}

@test "a NUL is no crash, no hang, and is never printed" {
  with_every_file
  for file in $files; do
    cp "$dir/$file" "$tmp/kept"
    for text in '\0' '0\0' '\0\60' '7\nlost\0found'; do
      put "$file" "$text"
      probe -d "$rundir" -u web ready
      [ "$status" -le 1 ]
      [ -z "$nul" ]
      answered "$status" "$out" "$err"
    done
    cp "$tmp/kept" "$dir/$file"
  done
}

@test "random bytes never pass" {
  with_every_file
  for file in $files; do
    cp "$dir/$file" "$tmp/kept"
    for _ in 1 2; do
      { printf '\001'; head -c 300 /dev/urandom; } >"$dir/$file"
      probe -d "$rundir" -u web ready
      [ "$status" -eq 1 ]
      answered 1 '' "$err"
    done
    cp "$tmp/kept" "$dir/$file"
  done
}

@test "with the longest names of all, the one line has 512 bytes at most" {
  local long name folder
  printf -v long '%0200d' 0
  printf -v name '%0100d' 0
  rundir=$tmp/$long/$long/$long
  folder=$rundir/$long
  unit "$long"
  unhealthy "not loaded (no pid in ${folder:0:200})"
  loaded
  rm "$dir/error"
  unhealthy "not set (no error code in ${folder:0:200})"
  put error '99999999999999999999\n%s' "$long$long"
  unhealthy "error 99999999999999999999: $long"
  put error 0
  beat "$name" 0 60
  put "beat/$name" '999999999 1 %s %s' "$pid" "$start"
  unhealthy "heartbeat '$name' is from the future"
  put "beat/$name" 'x'
  unhealthy "heartbeat '$name' is malformed"
  silent "$name" 4 3
  rm "$dir/beat/$name"
  beat "${name}0" 0 60
  unhealthy "bad name in ${folder:0:200}/beat"
}

@test "with the longest names of all, what is said of a lease is one line of 512 bytes at most" {
  local long name folder role
  printf -v long '%0200d' 0
  printf -v name '%0100d' 0
  printf -v role '%098d' 0
  rundir=$tmp/$long/$long/$long
  folder=$rundir/$long
  unit "$long"
  dead_process
  loaded
  beat "$name" 0 60 "$pid" "$start" 99999999999999999999 "$long"
  unhealthy "error 99999999999999999999: ${long:0:160} ($name)"
  beat "$name" 0 60 "$dead" "$died"
  unhealthy "heartbeat '$name': process $dead is gone"
  rm "$dir/beat/$name"
  beat "$role.1" 0 60 "$dead" "$died"
  unhealthy "no heartbeat of any '$role'"
  rm "$dir/beat/$role.1"
  stale live "job '$name' has run" "job/$name" 4 3
  rm "$dir/job/$name"
  lease check/"$name" 0 60 "$pid" "$start" 99999999999999999999 "$long"
  unhealthy "not ready: ${long:0:160} ($name)" ready
  stale ready "not ready: no result of '$name'" "check/$name" 4 3
  lease check/"$name" 0 60 "$dead" "$died"
  unhealthy "not ready: no result of '$name': process $dead is gone" ready
  rm "$dir/check/$name"
  lease check/"$role.1" 0 60 "$dead" "$died"
  unhealthy "not ready: no result of any '$role'" ready
  rm "$dir/check/$role.1"
  lease expect/"$name" 4 3 "$pid" "$start" 999999999
  unhealthy "0 of 999999999 '$name' heartbeats"
  put "expect/$name" x
  unhealthy "expectation '$name' is malformed"
  rm "$dir/expect/$name"
  for each in job expect check; do
    lease "$each/${name}0" 0 60
    unhealthy "bad name in ${folder:0:200}/$each" ready
    rm "$dir/$each/${name}0"
  done
}
