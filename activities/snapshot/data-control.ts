/** What the providers need of the PostgreSQL area; given to them, because areas do not import each other. */
type Owner = { uid: number; gid: number };
type ControlFacts = {
  systemIdentifier: string;
  state: string;
  timeline: number;
  checkpointLsn: string;
  minRecoveryEndLsn: string;
  nextXid: string;
};

export type DataControl = {
  /** Null when there is no cluster. */
  readControlData(binDir: string, dir: string): Promise<ControlFacts | null>;
  /** Throws PreconditionFailed unless it is certain that no server works on the directory. */
  requireStopped(dir: string): Promise<void>;
  directoryState(dir: string): Promise<'missing' | 'empty' | 'cluster' | 'other'>;
  pathExists(target: string): Promise<boolean>;
  readTextIfThere(file: string): Promise<string | null>;
  replaceFile(file: string, text: string, owner: Owner): Promise<void>;
  renameDurably(from: string, to: string): Promise<void>;
  ownerOf(target: string): Promise<Owner>;
};

/** The node whose data a provider copies. */
export type SnapshotNode = { environment: string; name: string; host: string; dataDir: string; binDir: string };

/** What pg_control says of a moment: data with the same mark were not worked on in between. */
export function markOf(facts: ControlFacts): string {
  const { state, timeline, checkpointLsn, minRecoveryEndLsn, nextXid } = facts;
  return [state, String(timeline), checkpointLsn, minRecoveryEndLsn, nextXid].join(' ');
}
