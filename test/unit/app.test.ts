/** The app provider `command` against tiny executables: its state is a file, and the programs may lie. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createStartApp } from '../../activities/app/start-app.js';
import { createStopApp } from '../../activities/app/stop-app.js';
import { configSchema } from '../../config/schema.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-app-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function app(scripts: { stop?: string; start?: string; status?: string }) {
  const write = async (name: string, text: string) => {
    await writeFile(path.join(dir, name), `#!/bin/sh\ncd ${dir}\necho ${name} >> calls\n${text}\n`, { mode: 0o755 });
    return [path.join(dir, name)];
  };
  const config = configSchema.parse({
    version: 1,
    stateDir: dir,
    record: { kind: 'directory', path: dir },
    environments: {
      lab: {
        postgres: {},
        nodes: [
          { name: 'a', host: 'a', address: 'a', port: 1, dataDir: '/a', binDir: '/a', runtime: { kind: 'process' } },
        ],
        routing: { kind: 'multihost', url: 'postgresql://a/b' },
        backups: { kind: 's3', bucket: 'b', accessKeyId: 'env:A', secretAccessKey: 'env:B' },
        apps: [
          {
            name: 'shop',
            host: 'a',
            kind: 'command',
            stop: await write('stop', scripts.stop ?? 'rm -f running'),
            start: await write('start', scripts.start ?? 'touch running'),
            status: await write('status', scripts.status ?? 'test -f running && exit 0; exit 3'),
            timeout: '1s',
          },
        ],
      },
    },
  });
  return {
    stop: createStopApp({ config }),
    start: createStartApp({ config }),
    input: { environment: 'lab', app: 'shop' },
  };
}

const calls = async () => (await readFile(path.join(dir, 'calls'), 'utf8')).trim().split('\n');

test('stops once, however often it is asked, and starts again', async () => {
  const { stop, start, input } = await app({});
  await expect(start(input)).resolves.toMatchObject({ outcome: 'started' });
  await expect(start(input)).resolves.toMatchObject({ outcome: 'already-started' });
  await expect(stop(input)).resolves.toMatchObject({ outcome: 'stopped' });
  await expect(stop(input)).resolves.toMatchObject({ outcome: 'already-stopped' });
  expect((await calls()).filter((name) => name === 'stop')).toHaveLength(1);
});

test('a stop that says it worked and did not is a failure', async () => {
  const { stop, input } = await app({ stop: 'exit 0' });
  await writeFile(path.join(dir, 'running'), '');
  await expect(stop(input)).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringContaining('is running, not stopped') as string,
  });
});

test('a stop that says it failed and did work is success', async () => {
  const { stop, input } = await app({ stop: 'rm -f running; exit 1' });
  await writeFile(path.join(dir, 'running'), '');
  await expect(stop(input)).resolves.toMatchObject({ outcome: 'stopped' });
});

test('a status that cannot tell never counts as stopped', async () => {
  const { stop, input } = await app({ status: 'exit 1' });
  await expect(stop(input)).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringContaining('is unknown') as string,
  });
});

test('an app that the config does not have is not found', async () => {
  const { stop } = await app({});
  await expect(stop({ environment: 'lab', app: 'other' })).rejects.toMatchObject({ type: 'NotFound' });
});
