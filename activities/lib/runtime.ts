/** How the server of a node is run on its host (architecture section 10): plain processes here; containers and units are other kinds. */

export type ServerStatus =
  | { state: 'running'; pid: number; port: number | null; socketDir: string | null; accepting: boolean }
  | { state: 'stopped'; why: string }
  /** Never to be taken for "stopped". */
  | { state: 'unknown'; why: string };

/** One node's server. Every call reads the state first and again afterwards, and may be repeated. */
export interface NodeRuntime {
  readonly kind: string;
  status(): Promise<ServerStatus>;
  /** Ordinary start with the node's own configuration, until sessions are accepted. */
  start(): Promise<{ outcome: 'started' | 'already-running'; pid: number }>;
  /** Fast shutdown (a shutdown checkpoint is written); `proof` says how it is known that nothing runs. Throws FenceFailed. */
  stop(timeoutMs?: number): Promise<{ outcome: 'stopped' | 'already-stopped'; proof: string }>;
}
