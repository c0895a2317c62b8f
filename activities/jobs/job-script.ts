/**
 * The program around every job, for /bin/sh as POSIX has it (Linux and macOS; no flock needed).
 *
 * `wrap` stays as the leader of a session of its own, waits for the command and writes `exit`. `claim` is its child: it links a file with its
 * own identity to `claim-<generation>` and becomes the command by exec. link(2) either makes the whole claim or fails because another attempt
 * has it, so two attempts cannot both win, and there is no moment at which a SIGKILL leaves a running command that no claim names.
 *
 * A claim has five lines: pid of the command, its start mark, pid of the wrapper, its start mark, boot id.
 */
export const JOB_SCRIPT = `set -u
umask 077
role=$1
dir=$2
generation=$3
shift 3

start_mark() {
  if [ -r "/proc/$1/stat" ]; then
    IFS= read -r line < "/proc/$1/stat"
    line="\${line##*) }"
    set -- $line
    echo "\${20}"
  else
    LC_ALL=C ps -o lstart= -p "$1" | sed -e 's/^ *//' -e 's/ *$//'
  fi
}

case $role in
wrap)
  trap : TERM INT HUP
  mark=$(start_mark $$)
  /bin/sh "$dir/run.sh" claim "$dir" "$generation" "$$" "$mark" "$@" &
  child=$!
  while :; do
    wait "$child"
    code=$?
    if [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; then continue; fi
    break
  done
  [ -f "$dir/claim-$generation" ] || exit 1
  { IFS= read -r pid && IFS= read -r started && IFS= read -r wrapper && IFS= read -r wrapper_mark; } < "$dir/claim-$generation"
  [ "$wrapper" = "$$" ] && [ "$wrapper_mark" = "$mark" ] || exit 0
  echo "$generation $code" > "$dir/.exit.$$" && mv -f "$dir/.exit.$$" "$dir/exit"
  ;;
claim)
  wrapper=$1
  wrapper_mark=$2
  shift 2
  boot=-
  [ -r /proc/sys/kernel/random/boot_id ] && IFS= read -r boot < /proc/sys/kernel/random/boot_id
  { echo $$; start_mark $$; echo "$wrapper"; echo "$wrapper_mark"; echo "$boot"; } > "$dir/.claim.$$" || exit 1
  if ln "$dir/.claim.$$" "$dir/claim-$generation" 2>/dev/null; then
    rm -f "$dir/result.json"
    mv -f "$dir/.claim.$$" "$dir/pid"
    exec "$@"
  fi
  rm -f "$dir/.claim.$$"
  ;;
esac
`;
