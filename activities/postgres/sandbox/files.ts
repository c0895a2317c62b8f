/** Texts of the files that are generated into a sandbox directory. Pure. */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';

/** The waiting script gives up after this: a transfer that brings nothing for an hour is not going to. */
const WAIT_SECONDS = 3_600;

export type RestoreScript = {
  spoolDir: string;
  /** There once nothing more will come. */
  completeFile: string;
  plan: Pick<RecoveryPlan, 'timeline' | 'fetch'>;
};

/**
 * The restore_command of a sandbox: links segments out of the spool. A segment that is there costs one `ln`; no subshell is started.
 * Exit codes as PostgreSQL reads them (docs, "Recovering Using a Continuous Archive Backup"): 1 means "the archive has no such file", more
 * than 125 ends recovery with an error. So a wanted segment that is late is waited for and never reported as the end of the archive.
 * A name outside the wanted range is refused at once: promotion looks for such names.
 */
export function restoreScriptText(input: RestoreScript): string {
  const { timeline, fetch } = input.plan;
  const hex = timeline.toString(16).toUpperCase().padStart(8, '0');
  return `#!/bin/sh
# Generated. Arguments: name of the file, path where the server wants it.
spool=${shellQuoted(input.spoolDir)}
complete=${shellQuoted(input.completeFile)}
case $1 in
*.history)
  # The history of our own timeline is needed from the start; others tell a promotion which timeline ids are taken.
  [ "$1" = ${hex}.history ] && [ ${String(timeline)} -gt 1 ] || { [ -f "$spool/$1" ] && exec cp "$spool/$1" "$2"; exit 1; }
  ;;
????????????????????????)
  wanted=$((0x\${1#????????}))
  [ "$wanted" -ge $((0x${fetch.firstSegment.slice(8)})) ] && [ "$wanted" -le $((0x${fetch.lastSegment.slice(8)})) ] || exit 1
  ;;
*) exit 1 ;;
esac
place() { ln "$spool/$1" "$2" 2>/dev/null || cp "$spool/$1" "$2"; }
# The transfer brings one file for each number: where a timeline begins, the archive may have it under the older name only.
comes_under_another_name() {
  for other in "$spool"/????????"\${1#????????}"; do
    [ "$other" != "$spool/$1" ] && [ -f "$other" ] && return 0
  done
  return 1
}
waited=0
while [ ! -f "$spool/$1" ]; do
  [ -d "$spool" ] || exit 255
  comes_under_another_name "$1" && exit 1
  if [ -f "$complete" ]; then
    [ -f "$spool/$1" ] && break
    echo "pgr: $1 is not in the spool although everything was fetched" >&2
    exit 255
  fi
  if [ "$waited" -ge ${String(WAIT_SECONDS * 50)} ]; then
    echo "pgr: $1 did not arrive within ${String(WAIT_SECONDS)} s" >&2
    exit 255
  fi
  waited=$((waited + 1))
  sleep 0.02
done
place "$1" "$2" || exit 255
`;
}

/** Removes what a killed attempt left of the output, then becomes the program that makes it. */
export const COMBINE_SCRIPT = `#!/bin/sh
# Generated. Arguments: output directory inside the sandbox, then the program and its arguments.
rm -rf -- "$1" || exit 1
shift
exec "$@"
`;

/** Stands in for the configuration of production: all that counts is on the command line. */
export const CONFIG_TEXT = '# Generated. The settings of this sandbox are on its command line.\n';
export const IDENT_TEXT = '# Generated. No maps.\n';

/**
 * Who may log in: pgr itself through the socket, whose directory only the server's user can enter; people through loopback, with the
 * password that the role has in production. Where the config knows no password, production lets this host in without one, and so does the sandbox.
 */
export function hbaText(hasPassword: boolean): string {
  // `md5` accepts both kinds of stored passwords and uses SCRAM where the stored one is (PostgreSQL docs, "Password Authentication").
  const method = hasPassword ? 'md5' : 'trust';
  return `# Generated.\nlocal all all trust\nhost all all 127.0.0.1/32 ${method}\n`;
}

/** One word for /bin/sh. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
