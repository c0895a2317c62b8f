/**
 * A fixed amount of memory for data under way: one shared block, lent out in runs of pages. Nothing is given back to the collector, which is
 * late with memory outside of its heap, and the pages stay warm (the first touch of a page costs more than what is done with it).
 */

/** A run of bytes in a shared block; whoever was told of it last may touch it. */
export type Lease = { block: SharedArrayBuffer; start: number; bytes: number };

export type BufferPool = {
  /** Room for `bytes`; waits (first come, first served) while there is none. */
  acquire(bytes: number): Promise<Lease>;
  release(lease: Lease): void;
};

type Waiter = { bytes: number; resolve: (lease: Lease) => void };

const PAGE_BYTES = 1024 * 1024;

/** The leased bytes. */
export function bytesOf({ block, start, bytes }: Lease): Buffer {
  return Buffer.from(block, start, bytes);
}

/** A pool of `budgetBytes`. A request larger than that (a WAL segment of a cluster with huge ones) gets a block of its own. */
export function createBufferPool(budgetBytes: number): BufferPool {
  const pages = Math.ceil(budgetBytes / PAGE_BYTES);
  const block = new SharedArrayBuffer(pages * PAGE_BYTES);
  const taken = new Uint8Array(pages);
  const waiting: Waiter[] = [];

  const take = (bytes: number): Lease | null => {
    const count = Math.max(Math.ceil(bytes / PAGE_BYTES), 1);
    if (count > pages) return { block: new SharedArrayBuffer(bytes), start: 0, bytes };
    const first = findRun(taken, count);
    if (first === -1) return null;
    taken.fill(1, first, first + count);
    return { block, start: first * PAGE_BYTES, bytes };
  };
  return {
    acquire(bytes) {
      const lease = waiting.length === 0 ? take(bytes) : null;
      if (lease !== null) return Promise.resolve(lease);
      return new Promise((resolve) => waiting.push({ bytes, resolve }));
    },
    release(lease) {
      if (lease.block === block) {
        const first = lease.start / PAGE_BYTES;
        taken.fill(0, first, first + Math.max(Math.ceil(lease.bytes / PAGE_BYTES), 1));
      }
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const given = take(next.bytes);
        if (given === null) return;
        waiting.shift();
        next.resolve(given);
      }
    },
  };
}

/** Index of the first run of `count` free pages, -1 when there is none. */
function findRun(taken: Uint8Array, count: number): number {
  let free = 0;
  for (let page = 0; page < taken.length; page += 1) {
    free = taken[page] === 0 ? free + 1 : 0;
    if (free === count) return page - count + 1;
  }
  return -1;
}
