import { MockActivityEnvironment } from '@temporalio/testing';
import { ActivityCancellationDetails } from '@temporalio/common';

import { readCancellation } from '../../activities/lib/cancellation.js';
import { maskSecrets, programEnvironment } from '../../activities/lib/exec-secrets.js';
import { createProgressReporter, heartbeat, stepProgress } from '../../activities/lib/heartbeat.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { createHeartbeatWriter } from '../../activities/postgres/heartbeat-writer.js';
import { parseMultihostUrl } from '../../activities/lib/multihost-url.js';

describe('progress', () => {
  test('tells rate and time left from what was moved', () => {
    const progress = stepProgress({ done: 300, total: 1_000, unit: 'bytes', note: 'base' }, [
      { atMs: 0, done: 100 },
      { atMs: 2_000, done: 300 },
    ]);
    expect(progress).toEqual({
      done: 300,
      total: 1_000,
      unit: 'bytes',
      ratePerSecond: 100,
      etaSeconds: 7,
      note: 'base',
    });
  });

  test('promises nothing while nothing moves or the total is unknown', () => {
    const still = [
      { atMs: 0, done: 5 },
      { atMs: 1_000, done: 5 },
    ];
    expect(stepProgress({ done: 5, total: 10, unit: 'lsn' }, still)).toMatchObject({
      ratePerSecond: 0,
      etaSeconds: null,
    });
    expect(stepProgress({ done: 5, total: null, unit: 'lsn' }, still)).toMatchObject({ total: 5, etaSeconds: null });
  });

  test('is sent once a second, and trouble with it never fails the work', async () => {
    const environment = new MockActivityEnvironment();
    const beats: unknown[] = [];
    environment.on('heartbeat', (details: unknown) => beats.push(details));
    let nowMs = 0;
    await environment.run(async () => {
      const reporter = createProgressReporter(() => nowMs);
      for (nowMs = 0; nowMs < 2_500; nowMs += 100)
        await reporter.beat(() => Promise.resolve({ done: nowMs, total: 5_000, unit: 'bytes' }));
      nowMs = 4_000;
      await reporter.beat(() => Promise.reject(new Error('half a file')));
    });
    expect(beats).toHaveLength(4);
    expect(beats[1]).toMatchObject({ done: 1_000, ratePerSecond: 1_000, etaSeconds: null }); // too early to tell
    expect(beats[2]).toMatchObject({ done: 2_000, ratePerSecond: 1_000, etaSeconds: 3 });
  });

  test('outside an activity a heartbeat does nothing', () => {
    expect(() => {
      heartbeat();
    }).not.toThrow();
  });
});

describe('a cancellation', () => {
  test.each([
    [{ cancelRequested: true }, true],
    [{ paused: true }, false],
    [{ reset: true }, false],
    [{ workerShutdown: true }, false],
    [{ cancelRequested: true, workerShutdown: true }, false],
    [{ timedOut: true }, false],
    [{ notFound: true }, false],
  ])('with %p ends the work: %s', async (details, ends) => {
    const environment = new MockActivityEnvironment();
    environment.cancel('CANCELLED', new ActivityCancellationDetails(details));
    const seen = await environment.run(() => Promise.resolve(readCancellation()));
    expect(seen).toMatchObject({ endsWork: ends });
  });
});

describe('secrets of programs', () => {
  test('only what the config refers to is handed over', () => {
    const config = {
      backups: { accessKeyId: 'env:S3_ID', secretAccessKey: 'env:S3_KEY', list: [{ x: 'env:DEEP' }], path: 'file:/x' },
    };
    const source = { S3_ID: 'id', S3_KEY: 'key', DEEP: 'd', OTHER: 'no', HTTPS_PROXY: 'http://proxy' };
    expect(programEnvironment(config, source)).toEqual({
      S3_ID: 'id',
      S3_KEY: 'key',
      DEEP: 'd',
      HTTPS_PROXY: 'http://proxy',
    });
  });

  test('are masked in what comes back, longest first', () => {
    const env = { PGPASSWORD: 'hunter2', API_TOKEN: 'hunter2-long', PGUSER: 'postgres', KEY: 'abc' };
    expect(maskSecrets('hunter2-long hunter2 postgres abc', env)).toBe('*** *** postgres abc');
    expect(maskSecrets('at postgresql://ana:secret@db:5432/x?y')).toBe('at postgresql://ana:***@db:5432/x?y');
  });
});

describe('the write address', () => {
  test.each([
    [
      'postgresql://u@10.0.0.1:5433,10.0.0.2:5434/db?target_session_attrs=read-write',
      [
        ['10.0.0.1', 5433],
        ['10.0.0.2', 5434],
      ],
    ],
    ['postgres://db.example.org/app', [['db.example.org', 5432]]],
    [
      'postgresql://[::1]:5555,[fe80::1]/db',
      [
        ['::1', 5555],
        ['fe80::1', 5432],
      ],
    ],
  ])('%s has its servers', (url, targets) => {
    expect(parseMultihostUrl(url).hosts.map(({ host, port }) => [host, port])).toEqual(targets);
  });
});

describe('the heartbeat writer', () => {
  const depsWith = (enabled: boolean, warnings: unknown[]): ActivityDeps =>
    ({
      config: {
        environments: {
          shop: {
            heartbeat: { enabled, every: 1 },
            postgres: { user: 'u', database: 'd' },
            routing: { kind: 'multihost', url: 'postgresql://u@127.0.0.1:1/d?target_session_attrs=read-write' },
          },
        },
      },
      resolveSecret: () => Promise.resolve(''),
      log: { info: () => undefined, warn: (fields: unknown) => warnings.push(fields) },
    }) as unknown as ActivityDeps;

  test('says once that nothing can be written, and stops at once', async () => {
    const warnings: unknown[] = [];
    const writer = createHeartbeatWriter(depsWith(true, warnings), 'shop');
    writer.start();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const startedMs = Date.now();
    await writer.stop();
    expect(Date.now() - startedMs).toBeLessThan(1_500);
    expect(warnings).toHaveLength(1);
  });

  test('does nothing where it is off, and can be stopped without a start', async () => {
    const warnings: unknown[] = [];
    const writer = createHeartbeatWriter(depsWith(false, warnings), 'shop');
    writer.start();
    await writer.stop();
    await createHeartbeatWriter(depsWith(true, warnings), 'shop').stop();
    expect(warnings).toEqual([]);
  });
});
