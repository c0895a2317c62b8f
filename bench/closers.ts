/** What a benchmark started is stopped again, in reverse order, however it ends: with a table, with an error, or by Ctrl-C. */

export type Closers = {
  add(close: () => Promise<unknown>): void;
  /** Closes everything once; what cannot be closed is reported and does not keep the rest. */
  closeAll(): Promise<void>;
};

export function createClosers(): Closers {
  const list: (() => Promise<unknown>)[] = [];
  let closing: Promise<void> | null = null;
  const closeEach = async (): Promise<void> => {
    for (let close = list.pop(); close !== undefined; close = list.pop()) {
      await close().catch((error: unknown) => {
        console.error(error);
      });
    }
  };
  // Ctrl-C and the end of what it interrupts come at the same time: two at work would not keep the order.
  const closeAll = (): Promise<void> => (closing ??= closeEach().finally(() => (closing = null)));
  return { add: (close) => list.push(close), closeAll };
}

/** Ctrl-C and SIGTERM close everything before the process ends. */
export function closeOnSignals(closers: Closers): void {
  const codes = { SIGINT: 130, SIGTERM: 143 };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void closers.closeAll().finally(() => process.exit(codes[signal])));
  }
}
