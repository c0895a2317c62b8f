/** A base of the controller as `base.json` of our own layout, so that the judging of bases is the same code as for store `s3`. Pure. */
import type { BaseRef } from '../../../shared/contracts/plan.js';
import type { Lsn } from '../../../shared/lsn.js';

export type HeaderFacts = Omit<BaseRef, 'rawBytes'> & {
  rawBytes: number;
  systemIdentifier: string;
  postgresMajor: number;
  walSegmentBytes: number;
  /** Where the WAL that must be in the archive begins. */
  neededFrom: Lsn;
};

/** Stock values of PostgreSQL: the controller does not say what the source had; pg_control of the restored base does. */
export const STOCK_SETTINGS = {
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
};
const NO_CHECKSUM = '0'.repeat(64);

/** The JSON of a header. */
export function headerJson(facts: HeaderFacts): Buffer {
  const { id, kind, systemIdentifier, postgresMajor, walSegmentBytes, timeline, stopLsn, parentId, bytes } = facts;
  const header = {
    api: 1,
    id,
    kind,
    systemIdentifier,
    postgresMajor,
    postgresVersion: String(postgresMajor),
    walSegmentBytes,
    timeline,
    startLsn: facts.neededFrom,
    stopLsn,
    startedAt: facts.startedAt,
    endedAt: facts.endedAt,
    parentId,
    compression: 'none',
    tar: 'base.tar',
    sizes: { bytes, rawBytes: facts.rawBytes, restoredBytes: facts.rawBytes, files: 0, chunks: 0 },
    sha256s: { index: NO_CHECKSUM, manifest: NO_CHECKSUM },
    settings: STOCK_SETTINGS,
  };
  return Buffer.from(JSON.stringify(header));
}
