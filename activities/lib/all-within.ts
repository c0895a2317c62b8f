/** Answers of several askers, of which one is enough to go on. */

/**
 * Results in the order of `work`. As soon as one is `enough`, the others have `patienceMs` left; for those that are not there then `late` stands in, and what
 * they come to is not looked at any more. The first that fails before that fails all.
 */
export async function allWithin<T>(
  work: readonly Promise<T>[],
  enough: (result: T) => boolean,
  patienceMs: number,
  late: (index: number) => T,
): Promise<T[]> {
  const results = new Map<number, T>();
  let timer: NodeJS.Timeout | undefined;
  let expire = (): void => undefined;
  const expired = new Promise<void>((resolve) => (expire = resolve));
  const all = Promise.all(
    work.map(async (one, index) => {
      const result = await one;
      results.set(index, result);
      if (enough(result)) timer ??= setTimeout(expire, patienceMs);
    }),
  );
  // What fails after the others were given up has nobody who listens.
  all.catch(() => undefined);
  try {
    await Promise.race([all, expired]);
  } finally {
    clearTimeout(timer);
  }
  return work.map((_, index) => (results.has(index) ? (results.get(index) as T) : late(index)));
}
