/** A controller of a backup store (Databasus) that is made anew on its host, with the key that was kept elsewhere. No secret in any of it. */
import type { EvidenceCheck } from './sandbox.js';

/** The key in escrow, as far as may be known of it. */
export type ProvenKey = {
  /** First 16 hex digits of the SHA-256 of its text. */
  fingerprint: string;
  /** Store whose newest base it was tried on. */
  store: string;
  checks: EvidenceCheck[];
  /** False when the newest base is not encrypted: then nothing shows that it is the right key. */
  isProven: boolean;
};

export type ControllerPlan = {
  environment: string;
  host: string;
  url: string;
  container: string;
  image: string;
  dataDir: string;
  /** Store through which the objects of the old controller are read. */
  bucket: string;
  key: ProvenKey;
  found: {
    container: 'absent' | 'running' | 'stopped';
    key: 'absent' | 'there';
    /** `silent`: nothing answers. `fresh`: nobody has set its admin password. `ours`: it takes the admin password of the config. */
    api: 'silent' | 'fresh' | 'ours';
    databases: string[];
    storages: string[];
  };
  /** In order; what is there already is not in it. */
  changes: string[];
  /** What nobody can know, and what cannot be brought back. */
  unknown: string[];
  warnings: string[];
  hash: string;
};

export type PlanControllerInput = { environment: string; key: ProvenKey };
export type ControllerStepInput = { environment: string; run: string; plan: ControllerPlan };

export type PlaceKeyResult = { outcome: 'placed' | 'already-there'; path: string; fingerprint: string };
export type StartControllerResult = {
  outcome: 'created' | 'started' | 'already-running';
  container: string;
  seconds: number;
};
/** What was there already is not named. */
export type SetUpUsersResult = { outcome: 'set-up' | 'already-there'; made: string[] };
export type AddStorageResult = { outcome: 'added' | 'already-there'; id: string; name: string };
export type AddedDatabase = {
  outcome: 'added' | 'already-there';
  id: string;
  name: string;
  systemIdentifier: string;
  /** What differs from the config in the settings of a database whose backups were on already; they are left as they are. */
  differs: string[];
};
export type AddDatabasesResult = { databases: AddedDatabase[] };

/** The full base that the new controller took. */
export type ControllerBase = { id: string; timeline: number; startLsn: string; stopLsn: string; bytes: number };

/** What the run `restore-controller` ends with. */
export type ControllerResult = {
  outcome: 'restored';
  environment: string;
  plan: ControllerPlan;
  databases: AddedDatabase[];
  evidence: EvidenceCheck[];
  base: ControllerBase;
  measured: { rtoSeconds: number; restoreSeconds: number; replaySeconds: number };
  /** What is left for a person. */
  commands: string[];
};
export type PlannedController = { outcome: 'planned'; plan: ControllerPlan };
