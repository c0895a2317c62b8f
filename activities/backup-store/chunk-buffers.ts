/** A fixed budget of memory for data under way. Buffers are used again and again: fresh memory costs page faults, and the collector is late. */

export type BufferPool = {
  /** A buffer of at least `bytes`; waits (first come, first served) while the budget is used up. */
  acquire(bytes: number): Promise<SharedArrayBuffer>;
  release(buffer: SharedArrayBuffer): void;
  /** Bytes of all buffers that exist, used and free. */
  allocatedBytes(): number;
};

type Waiter = { bytes: number; resolve: (buffer: SharedArrayBuffer) => void };

const MIB = 1024 * 1024;

/** A pool over `budgetBytes`. A single request larger than the whole budget is served when nothing else is out. */
export function createBufferPool(budgetBytes: number): BufferPool {
  const free: SharedArrayBuffer[] = [];
  const waiting: Waiter[] = [];
  let allocated = 0;
  let out = 0;

  const takeFree = (bytes: number): SharedArrayBuffer | null => {
    let best = -1;
    for (const [index, { byteLength }] of free.entries()) {
      const fits = byteLength >= bytes && byteLength <= Math.max(4 * bytes, 4 * MIB);
      if (fits && byteLength < (free[best]?.byteLength ?? Number.MAX_SAFE_INTEGER)) best = index;
    }
    return best === -1 ? null : (free.splice(best, 1)[0] ?? null);
  };
  const allocate = (bytes: number): SharedArrayBuffer | null => {
    const size = Math.max(Math.ceil(bytes / MIB), 1) * MIB;
    while (allocated + size > budgetBytes && free.length > 0) allocated -= free.shift()?.byteLength ?? 0;
    if (allocated + size > budgetBytes && out > 0) return null;
    allocated += size;
    return new SharedArrayBuffer(size);
  };
  const take = (bytes: number): SharedArrayBuffer | null => {
    const buffer = takeFree(bytes) ?? allocate(bytes);
    if (buffer !== null) out += 1;
    return buffer;
  };
  return {
    acquire(bytes) {
      const buffer = waiting.length === 0 ? take(bytes) : null;
      if (buffer !== null) return Promise.resolve(buffer);
      return new Promise((resolve) => waiting.push({ bytes, resolve }));
    },
    release(buffer) {
      out -= 1;
      free.push(buffer);
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const given = take(next.bytes);
        if (given === null) return;
        waiting.shift();
        next.resolve(given);
      }
    },
    allocatedBytes: () => allocated,
  };
}
