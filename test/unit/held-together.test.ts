import { heldTogether } from '../../activities/backup-store/held-together.js';

type Held = {
  calls: number;
  end: () => void;
  fail: (error: Error) => void;
  transfers: ReturnType<typeof heldTogether>;
};

function held(aloneMs: number): Held {
  let calls = 0;
  let end = (): void => undefined;
  let fail: (error: Error) => void = () => undefined;
  const work = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const transfers = heldTogether(() => {
    calls += 1;
    return work;
  }, aloneMs);
  return {
    get calls() {
      return calls;
    },
    end,
    fail,
    transfers,
  };
}

test('all lanes of the mover work on the base, which is transferred once', async () => {
  const base = held(60_000);
  expect(base.transfers).toHaveLength(10);
  const ended: number[] = [];
  const lanes = base.transfers.map((transfer, at) => transfer().then(() => ended.push(at)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(ended).toEqual([]);
  base.end();
  await Promise.all(lanes);
  expect(ended).toHaveLength(10);
  expect(base.calls).toBe(1);
});

test('when a base takes long, one lane is free for the WAL, and the others stay with the base', async () => {
  const base = held(5);
  const lanes = base.transfers.map((transfer) => transfer());
  await lanes.at(-1);
  const first = await Promise.race([
    lanes[0]?.then(() => 'ended'),
    new Promise((resolve) => setTimeout(resolve, 20, 'held')),
  ]);
  expect(first).toBe('held');
  base.end();
  await Promise.all(lanes);
});

test('a base that fails fails its lanes, also after one of them has left', async () => {
  const base = held(5);
  const lanes = base.transfers.map((transfer) => transfer());
  await lanes.at(-1);
  base.fail(new Error('the base is damaged'));
  const outcomes = await Promise.allSettled(lanes);
  expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(9);
});
