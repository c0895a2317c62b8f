import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';

import { databasesOf, heldServers, stateOf as poolerState } from '../../activities/pooler/pgbouncer-state.js';
import {
  checkOf,
  parseForced,
  parseStat,
  serversOf,
  sessionsOf,
  stateOf,
} from '../../activities/routing/haproxy-stat.js';
import { createRouting } from '../../activities/routing/create-routing.js';
import { haproxyCfg } from '../../config/haproxy-cfg.js';
import { describeHaproxy } from '../../config/haproxy-facts.js';
import { configSchema, type Config, type EnvironmentConfig } from '../../config/schema.js';
import { findProgram } from '../support/peer-process.js';

const example = (): Config => {
  const config = configSchema.parse(parse(readFileSync('recovery.example.yaml', 'utf8')));
  const chicago = production(config).nodes[1];
  if (chicago !== undefined) chicago.health ??= { kind: 'pgr', listen: '10.0.0.2', port: 8009 };
  return config;
};
const production = (config: Config): EnvironmentConfig => {
  const found = config.environments['production'];
  if (found === undefined) throw new Error('the example has no environment production');
  return found;
};
const textOf = (environment: EnvironmentConfig, options = {}): string => {
  const described = describeHaproxy('production', environment, options);
  if ('problems' in described) throw new Error(JSON.stringify(described.problems));
  return haproxyCfg(described.file);
};
const problemsOf = (environment: EnvironmentConfig, options = {}): string[] => {
  const described = describeHaproxy('production', environment, options);
  return 'problems' in described ? described.problems.map(({ path: at, problem }) => `${at} ${problem}`) : [];
};

describe('show stat', () => {
  const text = [
    '# svname,pxname,scur,status,check_status,check_code,last_chk,new_column,',
    'FRONTEND,vip,3,OPEN,,,,,',
    'dallas,postgres_write,3,UP,L7OK,200,"OK, says ""primary""",x,',
    'chicago,postgres_write,0,DOWN 1/2,* L7STS,503,,,',
    'houston,postgres_write,,MAINT (via x/y),,,,,',
    'austin,postgres_write,0,UP 1/2,INI,,,,',
    'boston,postgres_write,0,no check,,,,,',
    'denver,postgres_write,0,DRAIN,L7OK,200,,,',
    'BACKEND,postgres_write,3,UP,,,,,',
    'dallas,postgres_read,0,DOWN,L7STS,503,,,',
    '',
  ].join('\n');

  test('columns are found by name, and a field may hold commas and quotes', () => {
    const rows = serversOf(parseStat(text) ?? [], 'postgres_write');
    expect(rows.map((row) => [row['svname'], stateOf(row), checkOf(row), sessionsOf(row)])).toEqual([
      ['dallas', 'up', 'L7OK/200', 3],
      ['chicago', 'down', 'L7STS/503', 0],
      ['houston', 'maint', 'MAINT (via x/y)', null],
      ['austin', 'up', 'INI', 0],
      ['boston', 'up', 'no check', 0],
      ['denver', 'drain', 'L7OK/200', 0],
    ]);
    expect(rows[0]?.['last_chk']).toBe('OK, says "primary"');
  });

  test.each(['', 'Permission denied\n', 'No such proxy.\n', '# name,value\na,b\n'])('%j is no statistics', (other) => {
    expect(parseStat(other)).toBeNull();
  });

  test('a server that is drained and fails its check is still forced, although it shows as down', () => {
    const forced = parseForced(
      '1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n4 w 1 dallas 127.0.0.1 2 0\n4 w 2 chicago 127.0.0.1 0 8\n4 w 3 houston 127.0.0.1 0 1\n',
    );
    expect([...(forced ?? [])]).toEqual([
      ['dallas', false],
      ['chicago', true],
      ['houston', true],
    ]);
    expect(parseForced('Permission denied')).toBeNull();
  });
});

describe('haproxy.cfg', () => {
  test('of the example asks each node whether it takes writes, and HAProxy accepts the file', () => {
    const text = textOf(production(example()));
    expect(text).toContain('option httpchk GET /primary');
    expect(text).toContain('server dallas 10.0.0.1:5432 check addr 10.0.0.1 port 8009');
    expect(text).toContain('stats socket ipv4@10.0.0.11:9999 level admin');
    expect(text).toContain('bind 10.0.0.10:5432');
    expect(text).toContain('bind 10.0.0.10:5433');
    expect(text).toMatch(/fall 2 rise 1 on-marked-down shutdown-sessions/);
    const read = text.slice(text.indexOf('backend postgres_read'));
    expect(read).toContain('option httpchk GET /replica');
    expect(read.slice(0, read.indexOf('frontend stats'))).not.toContain('shutdown-sessions');
    checkWithHaproxy(text);
  });

  test('a pg-health that a team has is asked at its own address, path and with TLS', () => {
    const environment = production(example());
    for (const node of environment.nodes) {
      node.health = {
        kind: 'http',
        primary: `https://${node.address}:9200/is-primary?x=1`,
        replica: `https://${node.address}:9200/ro`,
      };
    }
    const text = textOf(environment, { readPort: 6000 });
    expect(text).toContain('option httpchk GET /is-primary?x=1');
    expect(text).toContain('option httpchk GET /ro');
    expect(text).toContain('port 9200 check-ssl verify none');
    expect(text).toContain('bind 10.0.0.10:6000');
    checkWithHaproxy(text);
  });

  test('Patroni is asked at /primary and /replica', () => {
    const environment = production(example());
    for (const node of environment.nodes) node.health = { kind: 'patroni', url: `http://${node.address}:8008/` };
    expect(textOf(environment)).toContain('option httpchk GET /primary\n');
    expect(textOf(environment)).toContain('addr 10.0.0.2 port 8008');
  });

  test('a node without a health answer, several write hosts, an unknown instance are refused, all at once', () => {
    const environment = production(example());
    delete environment.nodes[1]?.health;
    environment.routing.url = 'postgresql://a:1,b:2/shop?target_session_attrs=read-write';
    expect(problemsOf(environment, { instance: 'lb9' })).toEqual([
      'environments.production.nodes[1].health is missing; a router cannot tell a primary without it',
      'environments.production.routing.url names several hosts; the write VIP is one',
      'environments.production.routing.instances has no lb9; there are lb1',
    ]);
  });

  test('health answers at different paths are refused: HAProxy would ask one of the nodes for something else', () => {
    const environment = production(example());
    const [, chicago] = environment.nodes;
    if (chicago) chicago.health = { kind: 'http', primary: 'http://10.0.0.2:1/other' };
    expect(problemsOf(environment).join()).toMatch(/different paths/);
  });
});

function checkWithHaproxy(text: string): void {
  const haproxy = findProgram('haproxy');
  if (haproxy === null) {
    process.stderr.write('not checked with haproxy -c: haproxy is not installed\n');
    return;
  }
  const dir = mkdtempSync(path.join(tmpdir(), 'pgr-cfg-'));
  try {
    writeFileSync(path.join(dir, 'haproxy.cfg'), text);
    const { status, stdout, stderr } = spawnSync(haproxy, ['-c', '-f', path.join(dir, 'haproxy.cfg')], {
      encoding: 'utf8',
    });
    expect({ status, warnings: /WARNING|ALERT/.test(stderr), text: stdout + stderr }).toMatchObject({
      status: 0,
      warnings: false,
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('a provider says what it cannot do', () => {
  const config = example();
  const resolveSecret = (): Promise<string> => Promise.reject(new Error('no secret is needed for this'));
  const haproxy = createRouting(config, resolveSecret)('production');
  expect([haproxy.kind, haproxy.label]).toEqual(['haproxy', 'haproxy lb1']);
  expect(haproxy.limits.join()).toMatch(/reload/);
  const url = 'postgresql://10.0.0.1:5432,10.0.0.2:5433/shop?target_session_attrs=read-write';
  production(config).routing = { kind: 'multihost', url };
  const multihost = createRouting(config, resolveSecret)('production');
  expect([multihost.kind, multihost.label]).toEqual(['multihost', 'multi-host address 10.0.0.1:5432, 10.0.0.2:5433']);
  expect(multihost.limits.join()).toMatch(/cannot be fenced/);
  expect(() => createRouting(config, resolveSecret)('nowhere')).toThrow(/no environment "nowhere"/);
});

describe('admin console of PgBouncer', () => {
  const rows = [
    { name: 'pgbouncer', database: 'pgbouncer', paused: 0 },
    { name: 'shop', database: 'shop_v2', paused: 1 },
    { name: 'orders', database: 'orders', paused: 0 },
  ];

  test('all databases are paused but the console itself, or those of the config', () => {
    expect(databasesOf(rows, []).map(({ name }) => name)).toEqual(['shop', 'orders']);
    expect(databasesOf(rows, ['shop', 'unknown'])).toEqual([{ name: 'shop', realName: 'shop_v2', paused: true }]);
  });

  test('one paused database makes the pooler paused, and says which', () => {
    const pools = [
      { database: 'shop', cl_waiting: 3 },
      { database: 'shop', cl_waiting: 1 },
      { database: 'pgbouncer', cl_waiting: 9 },
    ];
    expect(poolerState('pool1', databasesOf(rows, []), pools)).toEqual({
      name: 'pool1',
      state: 'paused',
      why: 'only shop',
      waiting: 4,
    });
    expect(poolerState('pool1', databasesOf(rows, ['orders']), [])).toEqual({
      name: 'pool1',
      state: 'active',
      why: null,
      waiting: 0,
    });
  });

  test('only server connections that a client holds keep a pause from ending', () => {
    const server = { user: 'app', database: 'shop', request_time: '2026-11-21 09:27:10 UTC' };
    const held = heldServers(
      [
        { ...server, link: '0x1', remote_pid: 17 },
        { ...server, link: '', remote_pid: 18 },
        { ...server, link: '0x2', remote_pid: 0, database: 'orders' },
      ],
      databasesOf(rows, ['shop']),
    );
    expect(held).toEqual([{ database: 'shop', user: 'app', pid: 17, sinceMs: Date.UTC(2026, 10, 21, 9, 27, 10) }]);
  });
});
