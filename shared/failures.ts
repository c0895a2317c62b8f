/**
 * The closed list of failure types. Every typed failure that leaves an activity, a workflow or the command line has one of
 * these names; the name decides whether a retry can help, the exit code of `pgr`, and the hint when the thrower gave none.
 * Names are stored in histories and records: never rename one.
 */
export type FailureRule = {
  /** True when the same call can succeed later without a person doing anything. */
  retry: boolean;
  /** Exit code of the command line (see the table in docs/operations.md). */
  exitCode: number;
  hint: string;
};

export const FAILURES = {
  // 2: usage
  BadUsage: { retry: false, exitCode: 2, hint: 'run `pgr --help`' },
  ConfigInvalid: { retry: false, exitCode: 2, hint: 'run `pgr config check`' },
  TargetMalformed: {
    retry: false,
    exitCode: 2,
    hint: 'write the target as 2026-06-13T09:53:26Z, latest, immediate, xid:N, before-xid:N, lsn:X/Y or name:N',
  },
  // 3: not found
  NotFound: { retry: false, exitCode: 3, hint: 'run `pgr runs` to see what there is' },
  EnvironmentUnknown: { retry: false, exitCode: 3, hint: 'run `pgr config show` to see the environments' },
  // 4: not allowed
  NotAllowed: { retry: false, exitCode: 4, hint: 'ask somebody who may' },
  CredentialsRefused: { retry: false, exitCode: 4, hint: 'check the credentials in the config, then `pgr retry`' },
  // 5: refused by a check
  TargetNotRecoverable: { retry: false, exitCode: 5, hint: 'run `pgr window` to see what can be reached' },
  TargetInHole: { retry: false, exitCode: 5, hint: 'run `pgr window` to see the holes' },
  EnvironmentBusy: { retry: false, exitCode: 5, hint: 'run `pgr runs --status running` to see who holds it' },
  IdentityMismatch: { retry: false, exitCode: 5, hint: 'nothing was touched; compare the config with `pgr check`' },
  SandboxNotOurs: {
    retry: false,
    exitCode: 5,
    hint: 'nothing was touched; choose an empty directory or move the files away',
  },
  SandboxTainted: { retry: false, exitCode: 5, hint: 'discard it and restore again: `pgr discard`, then `pgr pitr`' },
  SpaceMissing: { retry: false, exitCode: 5, hint: 'free space or name another host with --host, then `pgr retry`' },
  MajorMismatch: {
    retry: false,
    exitCode: 5,
    hint: 'set binDir of the sandbox host to binaries of the same major version',
  },
  PortTaken: {
    retry: false,
    exitCode: 5,
    hint: 'stop what listens there or widen sandbox.ports in the config, then `pgr retry`',
  },
  SafetyCopyMissing: {
    retry: false,
    exitCode: 5,
    hint: 'nothing was touched; the kept data must be there before anything is swapped',
  },
  PreconditionFailed: { retry: false, exitCode: 5, hint: 'mend what the message names, then `pgr retry`' },
  HostUnreachable: { retry: false, exitCode: 5, hint: 'start `pgr worker` on that host, then `pgr retry`' },
  // 6: decisions
  DecisionRefused: { retry: false, exitCode: 6, hint: 'run `pgr show` for the open gate and its code' },
  // 9: needs attention
  GateExpired: {
    retry: false,
    exitCode: 9,
    hint: 'nothing was changed; `pgr retry` opens the gate again with a new code',
  },
  BackupCorrupt: {
    retry: false,
    exitCode: 9,
    hint: 'nothing was promoted; take another base or repair the object, then `pgr retry`',
  },
  WalCorrupt: {
    retry: false,
    exitCode: 9,
    hint: 'nothing was promoted; repair the segment or choose an earlier target',
  },
  RecoveryStopped: {
    retry: false,
    exitCode: 9,
    hint: 'read the server log of the sandbox, then `pgr retry` or `pgr abort`',
  },
  EvidenceFailed: { retry: false, exitCode: 9, hint: 'look at the evidence with `pgr show`; do not promote' },
  FenceFailed: { retry: false, exitCode: 9, hint: 'make sure that the old primary is off, then `pgr retry`' },
  ArchiveFailing: {
    retry: false,
    exitCode: 9,
    hint: 'look at pg_stat_archiver.last_failed_wal and the server log, then `pgr retry`',
  },
  FlipUndone: {
    retry: false,
    exitCode: 9,
    hint: 'the old primary takes writes again and nothing was lost; mend what the message names, then `pgr retry`',
  },
  SnapshotFailed: {
    retry: false,
    exitCode: 9,
    hint: 'nothing was touched; make the safety copy possible, then `pgr retry`',
  },
  CommandFailed: { retry: false, exitCode: 9, hint: 'read the last lines of its output, then `pgr retry`' },
  RecordConflict: { retry: false, exitCode: 9, hint: 'run `pgr audit verify` for this run' },
  JobLost: { retry: true, exitCode: 9, hint: 'it is started again by itself' },
  // passes by itself
  StoreUnavailable: {
    retry: true,
    exitCode: 9,
    hint: 'check the S3 endpoint; the run goes on by itself when it answers, or `pgr retry`',
  },
  RecordUnavailable: {
    retry: true,
    exitCode: 9,
    hint: 'the change did not happen; make the record store writable, then `pgr retry`',
  },
  SecretUnavailable: {
    retry: true,
    exitCode: 9,
    hint: 'the secret manager did not answer; the run goes on by itself when it does, or `pgr retry`',
  },
  RoutingUnavailable: {
    retry: true,
    exitCode: 9,
    hint: 'the router or pooler did not answer; the run goes on by itself when it does, or `pgr retry`',
  },
  DatabaseUnavailable: { retry: true, exitCode: 9, hint: 'look at the server log, then `pgr retry`' },
  TemporalUnavailable: {
    retry: true,
    exitCode: 1,
    hint: 'start the Temporal server or check its address: `pgr config show`',
  },
  // ends of a run
  RunAborted: { retry: false, exitCode: 1, hint: 'the run was aborted; `pgr show` says what was put back' },
  RunRejected: { retry: false, exitCode: 1, hint: 'the gate was rejected; start again when the plan is right' },
  Bug: { retry: false, exitCode: 70, hint: 'this is a bug in pgr; please report it with the stack trace' },
} as const satisfies Record<string, FailureRule>;

export type FailureType = keyof typeof FAILURES;

/** What travels in the details of an ApplicationFailure, in records and in `--json` errors. */
export type FailureDetails = { hint: string; next: string[] };

/** True when `name` is one of the closed list. */
export function isFailureType(name: string | null | undefined): name is FailureType {
  return typeof name === 'string' && Object.hasOwn(FAILURES, name);
}
