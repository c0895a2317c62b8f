import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { configJsonSchema } from '../../config/json-schema.js';
import { findConfig, loadConfig, parseConfig } from '../../config/load.js';
import { PgrFailure } from '../../shared/pgr-failure.js';

const EXAMPLE = path.resolve(__dirname, '../../recovery.example.yaml');

async function failureOf(work: () => unknown): Promise<PgrFailure> {
  try {
    await work();
  } catch (error) {
    if (error instanceof PgrFailure) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

let example: string;
let dir: string;

beforeAll(async () => {
  example = await readFile(EXAMPLE, 'utf8');
});
beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-config-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe('the example file', () => {
  test('is right, and its durations are seconds', async () => {
    const config = await loadConfig(EXAMPLE);
    const { production } = config.environments;
    expect(production?.approvals['promote']).toEqual({
      required: 2,
      from: ['ana', 'bo', 'chris'],
      notRequester: true,
      expiresIn: 86_400,
      remindEvery: 900,
    });
    expect(production?.nodes.map(({ name }) => name)).toEqual(['dallas', 'chicago']);
  });

  test('shows every key that the schema knows', () => {
    const keys = new Set<string>();
    const walk = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      if ('properties' in node) for (const key of Object.keys(node.properties as object)) keys.add(key);
      Object.values(node).forEach(walk);
    };
    walk(configJsonSchema());
    const missing = [...keys].filter((key) => !new RegExp(`\\b${key}:`).test(example));
    expect(missing).toEqual([]);
  });

  test('the published JSON schema is fresh: regenerate it with `pgr config schema`', async () => {
    const published = await readFile(path.resolve(__dirname, '../../config/recovery.schema.json'), 'utf8');
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
  });
});

/** The example with one piece of text replaced. */
function changed(from: string | RegExp, to: string): string {
  const text = example.replace(from, to);
  if (text === example) throw new Error(`the example has no ${String(from)}`);
  return text;
}

describe('a config that is wrong', () => {
  const cases: [string, () => string, RegExp][] = [
    [
      'an unknown key, with the key that was meant',
      () => changed('        port: 5432\n', '        prot: 5432\n'),
      /environments\.production\.nodes\[0\]\.prot: unknown key; did you mean "port"\?/,
    ],
    [
      'a missing key',
      () => changed('        port: 5432\n', ''),
      /environments\.production\.nodes\[0\]\.port: is missing/,
    ],
    ['a number as text', () => changed('port: 5432', 'port: "5432"'), /nodes\[0\]\.port: expected number/],
    ['a port beyond all ports', () => changed('port: 5432', 'port: 70000'), /nodes\[0\]\.port: too big/],
    ['a relative path', () => changed('stateDir: /var', 'stateDir: var'), /stateDir: use an absolute path/],
    ['a duration without a unit', () => changed('ttl: 24h', 'ttl: "24"'), /sandbox\.ttl: use a number and a unit/],
    [
      'an unknown kind of record store',
      () => changed('kind: s3', 'kind: ftp'),
      /record\.kind: expected directory or s3/,
    ],
    [
      'an environment name with capitals',
      () => changed('  production:', '  Production:'),
      /environments\.Production: bad name: use lower-case letters/,
    ],
    ['another version', () => changed('version: 1', 'version: 2'), /version: expected 1/],
    [
      'a misspelt gate, which would silently get the default policy',
      () => changed('      promote:', '      promot:'),
      /approvals\.promot: there is no such gate; the gates are other-store, promote, undo/,
    ],
    [
      'more approvals than approvers',
      () => changed('from: [ana, bo, chris]', 'from: [ana]'),
      /approvals\.promote\.required: 2 approvals cannot come from 1 people/,
    ],
    [
      'signed identity without signers',
      () => changed(/ +allowedSigners:.*\n/, ''),
      /identity\.allowedSigners: is missing/,
    ],
    [
      'a sandbox directory inside a data directory',
      () => changed('dir: /var/lib/postgresql/18/sandboxes', 'dir: /var/lib/postgresql/18/main/x'),
      /sandbox\.dir: overlaps the data directory of nodes\[0\]/,
    ],
    ['a port range upside down', () => changed('[15400, 15499]', '[15499, 15400]'), /sandbox\.ports: the first port/],
    [
      'a node in the port range of sandboxes',
      () => changed('[15400, 15499]', '[5000, 6000]'),
      /nodes\[0\]\.port: lies/,
    ],
    ['two nodes of one name', () => changed('name: chicago', 'name: dallas'), /nodes\[1\]\.name: is the same/],
    [
      'two nodes on one address and port',
      () => changed('address: 10.0.0.2', 'address: 10.0.0.1'),
      /nodes\[1\]\.port: is the same as that of nodes\[0\]/,
    ],
    [
      'a write address that takes whichever node answers',
      () => changed('?target_session_attrs=read-write', ''),
      /routing\.url: needs target_session_attrs=read-write/,
    ],
    ['a tab where YAML takes none', () => changed('  address:', '\taddress:'), /line \d+: /],
    ['a key twice', () => `${example}version: 1\n`, /line \d+: Map keys must be unique/],
    ['nothing at all', () => '', /\(top\): /],
  ];

  test.each(cases)('%s', async (_title, text, expected) => {
    const failure = await failureOf(() => parseConfig(text(), 'recovery.yaml'));
    expect(failure.code).toBe('ConfigInvalid');
    expect(failure.message).toMatch(expected);
  });

  test('everything that is wrong is said at once', async () => {
    const text = changed('port: 5432', 'port: 0').replace('version: 1', 'version: 3').replace('ttl: 24h', 'ttl: soon');
    const { problems } = await failureOf(() => parseConfig(text, 'recovery.yaml'));
    expect(problems.map((problem) => problem.path)).toEqual([
      'version',
      'environments.production.nodes[0].port',
      'environments.production.sandbox.ttl',
    ]);
  });

  test('a password where a reference belongs is refused and not repeated', async () => {
    const text = changed('op://infra/production-postgres/pgr-password', 'hunter2-secret');
    const failure = await failureOf(() => parseConfig(text, 'recovery.yaml'));
    expect(failure.message).toContain('environments.production.postgres.password: use env:NAME');
    expect(failure.message).not.toContain('hunter2');
  });

  test('a password in the write address is refused and not repeated', async () => {
    const text = changed('postgresql://10.0.0.1', 'postgresql://pgr:hunter2@10.0.0.1');
    const failure = await failureOf(() => parseConfig(text, 'recovery.yaml'));
    expect(failure.message).toContain('routing.url: holds a password');
    expect(failure.message).not.toContain('hunter2');
  });
});

describe('which file is read', () => {
  const write = async (...parts: string[]): Promise<string> => {
    const file = path.join(dir, ...parts);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, example);
    return file;
  };
  const find = (env: Record<string, string> = {}, explicit?: string): Promise<string> =>
    findConfig({ explicit, cwd: path.join(dir, 'cwd'), env: { HOME: path.join(dir, 'home'), ...env } });

  test('--config, PGR_CONFIG, ./recovery.yaml, the home directory, then the lab', async () => {
    const lab = await write('cwd', '.lab', 'recovery.yaml');
    expect(await find()).toBe(lab);
    const home = await write('home', '.config', 'pgr', 'recovery.yaml');
    expect(await find()).toBe(home);
    const here = await write('cwd', 'recovery.yaml');
    expect(await find()).toBe(here);
    const named = await write('named.yaml');
    expect(await find({ PGR_CONFIG: named })).toBe(named);
    const explicit = await write('explicit.yaml');
    expect(await find({ PGR_CONFIG: named }, explicit)).toBe(explicit);
  });

  test('PGR_LAB_DIR names the lab', async () => {
    await mkdir(path.join(dir, 'cwd'), { recursive: true });
    const lab = await write('elsewhere', 'recovery.yaml');
    expect(await find({ PGR_LAB_DIR: path.join(dir, 'elsewhere') })).toBe(lab);
  });

  test('a named file that is missing is a failure, and no other file is read instead', async () => {
    await write('cwd', 'recovery.yaml');
    const failure = await failureOf(() => find({}, 'typo.yaml'));
    expect(failure.code).toBe('NotFound');
    expect(failure.message).toContain('--config names');
  });

  test('no config at all names every place that was looked at', async () => {
    const failure = await failureOf(() => find());
    expect(failure.message).toContain(path.join(dir, 'cwd', 'recovery.yaml'));
    expect(failure.message).toContain(path.join(dir, 'home', '.config', 'pgr', 'recovery.yaml'));
    expect(failure.next).toEqual(['pgr lab up']);
  });
});
