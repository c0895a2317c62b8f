/** The main side of the chunk threads: hands each request to the thread with the least to do. */
import { Worker } from 'node:worker_threads';

import { stepFailure } from '../lib/failure.js';
import type { ChunkReplies, ChunkReply, ChunkRequest } from './chunk-messages.js';

export type ChunkPool = {
  /** The memory of the request must not be touched until the reply. Rejects with a typed failure when this machine is the problem. */
  run<R extends ChunkRequest>(request: R): Promise<ChunkReplies[R['kind']]>;
  close(): Promise<void>;
};

type Pending = { resolve: (reply: never) => void; reject: (error: Error) => void };
type Thread = { worker: Worker; pending: Map<number, Pending> };

/** Starts `threads` threads, each running the program at `programPath`, which must call runChunkThread when it is not the main thread. */
export function createChunkPool(programPath: string, threads: number): ChunkPool {
  const all = Array.from({ length: threads }, () => startThread(programPath));
  let lastId = 0;
  return {
    run<R extends ChunkRequest>(request: R): Promise<ChunkReplies[R['kind']]> {
      const thread = all.reduce((least, one) => (one.pending.size < least.pending.size ? one : least));
      lastId += 1;
      const id = lastId;
      return new Promise((resolve, reject) => {
        thread.pending.set(id, { resolve, reject });
        thread.worker.postMessage({ id, request });
      });
    },
    async close() {
      await Promise.all(all.map(({ worker }) => worker.terminate()));
    },
  };
}

function startThread(programPath: string): Thread {
  // Young objects are few here and hold large memory outside of the heap: a small nursery is collected quickly.
  const worker = new Worker(programPath, { resourceLimits: { maxYoungGenerationSizeMb: 4 } });
  const thread: Thread = { worker, pending: new Map() };
  worker.on('message', (message: ChunkReply) => {
    const pending = thread.pending.get(message.id);
    thread.pending.delete(message.id);
    if (message.ok) pending?.resolve(message.reply as never);
    else pending?.reject(machineFailure(message.error.message, message.error.code));
  });
  const fail = (error: Error): void => {
    for (const { reject } of thread.pending.values()) reject(error);
    thread.pending.clear();
  };
  worker.on('error', (error) => {
    fail(stepFailure('Bug', `a chunk thread died: ${error.message}`, { cause: error }));
  });
  worker.on('exit', () => {
    fail(stepFailure('JobLost', 'a chunk thread ended'));
  });
  return thread;
}

/** A failure of writing: the disk, not the store. */
function machineFailure(message: string, code: string | null): Error {
  if (code === 'ENOSPC' || code === 'EDQUOT') return stepFailure('SpaceMissing', `no space left: ${message}`);
  if (code === null) return stepFailure('Bug', message);
  return stepFailure('PreconditionFailed', `cannot write: ${message}`);
}
