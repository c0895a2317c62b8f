/** What one area asks another of the container engine of this host. */
import type { ProgramResult } from './exec.js';

/** A container as the engine describes it. */
export type SeenContainer = {
  id: string;
  name: string;
  /** As it was named when the container was made. */
  image: string;
  labels: Record<string, string>;
  /** created, running, paused, restarting, removing, exited or dead. */
  status: string;
  exitCode: number;
  /** What the engine says when it could not start it. */
  error: string;
  mounts: readonly { source: string; destination: string; writable: boolean }[];
};

/** An engine that does not answer is `unknown`, never "no such container". */
export type ContainerEngine = {
  run(args: readonly string[], timeoutMs?: number): Promise<ProgramResult>;
  readContainers(): Promise<{ state: 'known'; containers: SeenContainer[] } | { state: 'unknown'; why: string }>;
};
