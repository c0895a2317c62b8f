/** What the parts of the mover share. */
import type { JobReporter } from './base-job.js';
import type { BufferPool } from './chunk-buffers.js';
import type { ChunkPool } from './chunk-pool.js';
import type { MoverProgress } from './mover-progress.js';
import type { SlimObjects } from './s3-slim.js';

export type MoverDeps = {
  objects: SlimObjects;
  walPrefix: string;
  reporter: JobReporter;
  /** This program's own file: the chunk threads run it too. */
  programPath: string;
};

export type MoverTools = MoverDeps & { threads: ChunkPool; buffers: BufferPool; progress: MoverProgress };

/** One fetch-and-unpack; resolves when its data is on disk. */
export type Transfer = () => Promise<void>;
