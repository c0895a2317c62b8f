import type { Context } from '@temporalio/activity';

import { signsOfLife } from '../../activities/lib/signs-of-life.js';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

function start(): { sent: jest.Mock; context: Context; end: () => Promise<void> } {
  const sent = jest.fn();
  const context = { heartbeat: sent } as unknown as Context;
  const { inbound } = signsOfLife<string, string>(context);
  let finish: (value: string) => void = () => undefined;
  const work = inbound.execute('in', () => new Promise((resolve) => (finish = resolve)));
  return {
    sent,
    context,
    end: async () => {
      finish('out');
      await expect(work).resolves.toBe('out');
    },
  };
}

test('an activity that says nothing is kept alive each second, and no longer than it runs', async () => {
  const { sent, end } = start();
  await jest.advanceTimersByTimeAsync(3_000);
  expect(sent).toHaveBeenCalledTimes(3);
  await end();
  await jest.advanceTimersByTimeAsync(3_000);
  expect(sent).toHaveBeenCalledTimes(3);
});

test('the sign carries the progress that was last given; a bare heartbeat does not wipe it', async () => {
  const { sent, context, end } = start();
  context.heartbeat({ done: 5 });
  context.heartbeat();
  await jest.advanceTimersByTimeAsync(1_000);
  expect(sent.mock.calls.map(([details]: unknown[]) => details)).toEqual([{ done: 5 }, { done: 5 }, { done: 5 }]);
  await end();
});

test('an activity that fails leaves no timer behind', async () => {
  const { inbound } = signsOfLife<string, string>({ heartbeat: jest.fn() } as unknown as Context);
  await expect(inbound.execute('in', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(jest.getTimerCount()).toBe(0);
});
