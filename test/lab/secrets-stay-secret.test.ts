/**
 * Scenario: a recovery with a promotion on a whole lab whose secrets come from every kind of reference, and people who are told of it.
 * Verified: 1 no secret, in any of its forms, is in a history, a record, a log, a job's files, a message, or the command line of any process while
 * the run goes on; 2 the run works with references of every kind; 3 people were told, and the channels can be tried.
 */
import { Client, Connection } from '@temporalio/client';
import { chmod, mkdtemp, open, readdir, readFile, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse, stringify } from 'yaml';

import { secretForms } from '../../activities/lib/secret-mask.js';
import { TestLab } from '../support/lab.js';
import { startService, startSlack, type NoticeService } from '../support/notice-services.js';

jest.setTimeout(1_500_000);

const SLACK_TOKEN = 'xoxb-1234-stays-secret-5678';
const SIGNING_SECRET = 'whsec/+stays=secret&too';
const HOOK_PATH = '/hooks/T0STAYS/SECRET9';
const OP_TOKEN = 'ops_stays_secret_as_well';

type Config = {
  temporal: { address: string; namespace: string };
  stateDir: string;
  record: { path: string };
  notify: object[];
  environments: { lab: { postgres: Record<string, unknown>; backups: Record<string, unknown> } };
};

let lab: TestLab;
let scratch: string;
let config: Config;
let log: FileHandle | null = null;
let secrets: Map<string, string>;
/** Every text that gives one away, with its name: made once, because thousands of command lines are looked through. */
let needles: (readonly [name: string, form: string])[];
let hook: NoticeService;
let watch: ReturnType<typeof watchCommandLines> | null = null;
let slack: Awaited<ReturnType<typeof startSlack>>;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'pgr-secrets-test-'));
  hook = await startService(() => ({ status: 204 }));
  slack = await startSlack({ token: SLACK_TOKEN });
  lab = await TestLab.up();
  const status = await lab.status();
  config = parse(await readFile(status.config, 'utf8')) as Config;
  secrets = await readSecrets();
  needles = [...secrets].flatMap(([name, value]) => secretForms(value).map((form) => [name, form] as const));
});

afterAll(async () => {
  await watch?.stop();
  await TestLab.destroyAll();
  await log?.close();
  await Promise.all([hook.stop(), slack.stop()]);
  await rm(scratch, { recursive: true, force: true });
});

/** The lab's own and ours. The id of an access key is a name. */
async function readSecrets(): Promise<Map<string, string>> {
  const { postgres, backups } = config.environments.lab;
  const files = { ...postgres, s3: backups['secretAccessKey'] };
  const own = await Promise.all(
    Object.entries(files)
      .filter(([, value]) => typeof value === 'string' && value.startsWith('file:'))
      .map(async ([name, value]): Promise<[string, string]> => {
        const text = await readFile(String(value).slice('file:'.length), 'utf8');
        return [name, text.trim()];
      }),
  );
  return new Map([...own, ['slack', SLACK_TOKEN], ['signing', SIGNING_SECRET], ['hook', HOOK_PATH], ['op', OP_TOKEN]]);
}

/** Names of the secrets that a text gives away. */
function leaksIn(text: string): string[] {
  return [...new Set(needles.filter(([, form]) => text.includes(form)).map(([name]) => name))];
}

/** The same environment with references of every kind: a command, 1Password, variables. */
async function writeConfig(): Promise<{ file: string; env: Record<string, string> }> {
  const { postgres, backups } = config.environments.lab;
  const passwordFile = String(postgres['password']).slice('file:'.length);
  const op = path.join(scratch, 'op');
  await writeFile(
    op,
    `#!/bin/sh\n[ "$OP_SERVICE_ACCOUNT_TOKEN" = ${OP_TOKEN} ] || exit 1\nprintf %s '${secrets.get('s3') ?? ''}'\n`,
  );
  await chmod(op, 0o755);
  // The servers' user never runs it; the programs of the worker do.
  await chmod(scratch, 0o755);
  postgres['password'] = { exec: ['cat', passwordFile] };
  backups['secretAccessKey'] = 'op://lab/s3/secret';
  backups['accessKeyId'] = 'env:LAB_KEY_ID';
  config.notify = [
    { name: 'ops', kind: 'slack', token: 'env:SLACK_TOKEN', channel: 'C012345', api: slack.url },
    { name: 'tools', kind: 'webhook', url: 'env:HOOK_URL', secret: 'env:HOOK_SECRET' },
  ];
  const file = path.join(scratch, 'recovery.yaml');
  await writeFile(file, stringify(config));
  return {
    file,
    env: {
      PGR_OP: op,
      OP_SERVICE_ACCOUNT_TOKEN: OP_TOKEN,
      LAB_KEY_ID: (await lab.status()).s3.accessKeyId,
      SLACK_TOKEN,
      HOOK_URL: `${hook.url}${HOOK_PATH}`,
      HOOK_SECRET: SIGNING_SECRET,
    },
  };
}

/** Looks at the command lines of all processes until it is stopped; says which gave a secret away. */
function watchCommandLines(): { stop(): Promise<{ looks: number; leaks: string[] }> } {
  const state = { isOn: true };
  let looks = 0;
  const leaks = new Set<string>();
  const look = async (): Promise<void> => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    await Promise.all(
      pids.map(async (pid) => {
        const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
        for (const name of leaksIn(line)) leaks.add(`${name}: ${line.split('\0')[0] ?? ''}`);
      }),
    );
    looks += 1;
  };
  const watching = (async () => {
    while (state.isOn) {
      await look();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return {
    async stop() {
      state.isOn = false;
      await watching;
      return { looks, leaks: [...leaks] };
    },
  };
}

/** All that is in the histories of the server, payloads decoded. */
async function histories(): Promise<{ name: string; text: string }[]> {
  const { address, namespace } = config.temporal;
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection, namespace });
    const found: { name: string; text: string }[] = [];
    for await (const { workflowId, runId, memo } of client.workflow.list()) {
      const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      found.push({ name: workflowId, text: JSON.stringify(memo) + textOf(history) });
    }
    return found;
  } finally {
    await connection.close();
  }
}

function textOf(value: unknown): string {
  if (value instanceof Uint8Array || Buffer.isBuffer(value)) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textOf).join('\n');
}

/** Text of every file below a directory. */
async function filesBelow(dir: string): Promise<{ name: string; text: string }[]> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return Promise.all(
    names
      .filter((one) => one.isFile())
      .map(async (one) => {
        const name = path.join(one.parentPath, one.name);
        return { name, text: await readFile(name, 'latin1').catch(() => '') };
      }),
  );
}

function eventsOf({ requests }: NoticeService): string[] {
  return requests.map(({ json }) => (json as { notice: { event: string } }).notice.event);
}

test('nothing of a whole recovery gives a secret away', async () => {
  expect(secrets.size).toBeGreaterThanOrEqual(7);
  const { file, env } = await writeConfig();
  log = await open(path.join(scratch, 'worker.log'), 'w');
  await lab.stopOwnWorker();
  await lab.startWorker(env, file, log.fd);
  watch = watchCommandLines();
  const accident = await lab.json<{ lastGoodTime: string }>(['lab', 'accident', 'truncate']);
  const args = [
    'pitr',
    'lab',
    '--to',
    accident.lastGoodTime,
    '--promote',
    '--by',
    'ana',
    '--reason',
    'orders are gone',
  ];
  const { run } = await lab.json<{ run: string }>(args);
  const atGate = await lab.waitFor(run, ['waiting-approval', 'needs-attention', 'failed'], { timeoutMs: 600_000 });
  expect([atGate.status, atGate.failure]).toEqual(['waiting-approval', null]);
  await lab.approve(run);
  const ended = await lab.waitFor(run, ['completed', 'needs-attention', 'failed'], { timeoutMs: 600_000 });
  expect([ended.status, ended.failure]).toEqual(['completed', null]);
  const workerLog = path.join(scratch, 'worker.log');
  // Each channel has a queue of its own: all three are waited for.
  await lab.until(
    async () => ({
      slack: slack.messages.filter(({ text }) => text.includes('completed')).length,
      hook: eventsOf(hook).filter((event) => event === 'ended').length,
      log: (await readFile(workerLog, 'utf8')).split('"event":"ended"').length - 1,
    }),
    (ends) => Object.values(ends).every((count) => count >= 2),
    300_000,
    (ends) => `ends that were told: ${JSON.stringify(ends)}`,
  );
  const tested = await lab.json<{ channels: object[] }>(['notify', 'test', 'lab'], { config: file });
  expect(tested).toEqual({
    api: 1,
    environment: 'lab',
    ok: true,
    channels: ['log', 'ops', 'tools'].map((channel) => ({ channel, outcome: 'delivered', why: null })),
  });
  const doctor = await lab.json<{ checks: { check: string; ok: boolean }[] }>(['check', 'lab'], { config: file });
  expect(doctor.checks.filter(({ check }) => check.startsWith('channel ')).map(({ ok }) => ok)).toEqual([true, true]);
  const { looks, leaks } = await watch.stop();
  expect(looks).toBeGreaterThan(20);
  expect(leaks).toEqual([]);

  const told = await histories();
  expect(told.map(({ name }) => name)).toEqual(expect.arrayContaining([run, 'lab/change']));
  const logs = [...(await filesBelow(path.join(lab.dir, 'logs'))), ...(await filesBelow(scratch))].filter(
    ({ name }) => name !== path.join(scratch, 'op'),
  );
  const records = await filesBelow(config.record.path);
  const jobs = await filesBelow(config.stateDir);
  const messages = [...hook.requests, ...slack.requests].map(({ path: name, body }) => ({
    name: `message to ${name.slice(0, 4)}`,
    text: body,
  }));
  for (const kind of [told, logs, records, jobs, messages]) expect(kind.length).toBeGreaterThan(0);
  const found = [...told, ...logs, ...records, ...jobs, ...messages].flatMap(({ name, text }) =>
    leaksIn(text).map((secret) => `${secret} in ${name}`),
  );
  expect(found).toEqual([]);

  // People were told, in one thread a run; the test message stands by itself.
  expect(slack.messages.filter(({ thread_ts: thread }) => thread === undefined)).toHaveLength(3);
  expect(eventsOf(hook)).toEqual(
    expect.arrayContaining(['run-started', 'gate-opened', 'production-down', 'service-restored', 'ended']),
  );
  expect(await readFile(workerLog, 'utf8')).toContain('is down: nobody can write');
});
