import { parse } from 'yaml';

import { configSchema } from '../../../config/schema.js';
import { checkConfig } from '../../../config/rules.js';
import {
  initdbArgs,
  retentionArgs,
  standbyArgs,
  temporalArgs,
  weedArgs,
  weedIdentities,
  workerArgs,
} from '../../../lab/commands.js';
import { parseExtras } from '../../../lab/extras.js';
import { labPaths } from '../../../lab/paths.js';
import { pgbouncerIni } from '../../../lab/pooler.js';
import { PORT_NAMES, type LabPorts } from '../../../lab/ports.js';
import {
  archiveCommand,
  pgHbaConf,
  postgresqlConf,
  withPort,
  withPrimaryPort,
} from '../../../lab/postgres-settings.js';
import { labConfigText, withAddresses, type LabConfigInput } from '../../../lab/recovery-config.js';

const paths = labPaths('/srv/lab');
const ports = Object.fromEntries(PORT_NAMES.map((name, index) => [name, 21_000 + index])) as LabPorts;
const input: LabConfigInput = {
  paths,
  ports,
  binDir: '/pg/bin',
  appProgram: ['/usr/bin/node', '/app/dist/lab/app.js'],
  runAs: 'postgres',
  extras: [],
};

describe('recovery.yaml of a lab with a proxy and a pooler', () => {
  const extras = ['haproxy', 'pgbouncer'] as const;
  const environmentIn = (text: string) => configSchema.parse(parse(text)).environments['lab'];

  it('names the write VIP, the health of each node and the pooler', () => {
    const environment = environmentIn(labConfigText({ ...input, extras }));
    expect(environment?.routing).toMatchObject({ kind: 'haproxy', instances: [{ name: 'lb1' }] });
    expect(environment?.routing.url).toContain(`127.0.0.1:${String(ports.haproxyWrite)}/`);
    expect(environment?.nodes.map(({ health }) => health?.kind)).toEqual(['pgr', 'pgr']);
    expect(environment?.poolers).toMatchObject([{ kind: 'pgbouncer', port: ports.pgbouncer }]);
  });

  it('is what a lab without becomes when they are asked for later, and nothing else changes in it', () => {
    const text = labConfigText(input);
    const later = withAddresses(text, { ...input, extras });
    expect(environmentIn(later)).toEqual(environmentIn(labConfigText({ ...input, extras })));
    expect(withAddresses(later, { ...input, extras })).toBe(later);
  });

  it('has a pooler that leads to the write VIP', () => {
    expect(pgbouncerIni(paths, ports)).toContain(`shop = host=127.0.0.1 port=${String(ports.haproxyWrite)}`);
  });

  it('knows no other parts', () => {
    expect(parseExtras('pgbouncer, haproxy')).toEqual(['haproxy', 'pgbouncer']);
    expect(() => parseExtras('haproxy,varnish')).toThrow('there is no "varnish"');
  });
});

describe('recovery.yaml of the lab', () => {
  it('is a valid config without a secret in it', () => {
    const text = labConfigText(input);
    const config = configSchema.parse(parse(text));
    expect(checkConfig(config)).toEqual([]);
    expect(config.environments['lab']?.nodes.map(({ name, host, port }) => [name, host, port])).toEqual([
      ['dallas', 'dallas', ports.dallas],
      ['chicago', 'chicago', ports.chicago],
    ]);
    expect(config.environments['lab']?.postgres.password).toBe('file:/srv/lab/secrets/postgres');
    expect(config.environments['lab']?.heartbeat).toEqual({ enabled: true, every: 5 });
  });

  it('stays byte for byte what people made of it while no address changes', () => {
    const edited = `${labConfigText(input)}\n# ours\n`.replace(
      'heartbeat:',
      'approvals:\n      promote: { required: 2 } # two people\n    heartbeat:',
    );
    expect(withAddresses(edited, input)).toBe(edited);
  });

  it('gets a new port and keeps comments and policies', () => {
    const edited = labConfigText(input).replace(
      'heartbeat:',
      'approvals:\n      promote: { required: 2 } # two people\n    heartbeat:',
    );
    const moved = withAddresses(edited, { ...input, ports: { ...ports, dallas: 25_555, temporal: 25_556 } });
    expect(moved).toContain('# two people');
    const config = configSchema.parse(parse(moved));
    expect(config.temporal.address).toBe('127.0.0.1:25556');
    expect(config.environments['lab']?.nodes[0]?.port).toBe(25_555);
    expect(config.environments['lab']?.routing.url).toContain('127.0.0.1:25555');
    expect(config.environments['lab']?.approvals['promote']?.required).toBe(2);
  });
});

describe('servers of the lab', () => {
  it('archive through our wal-push, whatever the path looks like', () => {
    expect(archiveCommand(['/usr/bin/node', '/srv/my lab/100%/wal-push.cjs', "it's"])).toBe(
      `/usr/bin/node '/srv/my lab/100%%/wal-push.cjs' 'it'\\''s' %p`,
    );
    const conf = postgresqlConf({ node: 'dallas', port: 21_012, archiveCommand: ['node', "it's"] });
    expect(conf).toContain(`archive_command = 'node ''it''\\''''s'' %p'`);
  });

  it('have what a recovery needs and listen on loopback only', () => {
    const conf = postgresqlConf({ node: 'dallas', port: 21_012, archiveCommand: ['x'] });
    for (const line of [
      'wal_level = replica',
      'summarize_wal = on',
      'archive_mode = on',
      'track_commit_timestamp = on',
      "listen_addresses = '127.0.0.1'",
      'port = 21012',
    ]) {
      expect(conf.split('\n')).toContain(line);
    }
    expect(pgHbaConf()).not.toMatch(/trust|0\.0\.0\.0|::\/0/);
    expect(initdbArgs('/d', '/pw')).toEqual(
      expect.arrayContaining(['--data-checksums', '--pwfile', '/pw', 'scram-sha-256']),
    );
  });

  it('get another port without losing a line that somebody added', () => {
    expect(withPort("port = 1\nwork_mem = '64MB'\n", 2)).toBe("port = 2\nwork_mem = '64MB'\n");
    expect(withPort('work_mem = 1\n', 2)).toContain('port = 2');
    expect(
      withPrimaryPort(
        "primary_conninfo = 'user=r password=port1 host=127.0.0.1 port=1 application_name=c'\nprimary_slot_name = 'port=7'\n",
        2,
      ),
    ).toBe(
      "primary_conninfo = 'user=r password=port1 host=127.0.0.1 port=2 application_name=c'\nprimary_slot_name = 'port=7'\n",
    );
  });

  it('clone without a password in the arguments', () => {
    const args = standbyArgs({
      primaryPort: 1,
      passFile: '/srv/lab/secrets/replicator.pgpass',
      node: 'chicago',
      dataDir: '/d',
    });
    expect(args.join(' ')).toContain("passfile='/srv/lab/secrets/replicator.pgpass'");
    expect(args).toEqual(expect.arrayContaining(['--create-slot', 'chicago_slot', '--no-password']));
  });
});

describe('services of the lab', () => {
  it('run Temporal on fixed loopback ports with 90 days and all search attributes', () => {
    const args = temporalArgs(paths, ports);
    expect(args).toEqual(
      expect.arrayContaining([
        '--ip',
        '127.0.0.1',
        '--http-port',
        '--metrics-port',
        '--db-filename',
        '/srv/lab/temporal/temporal.db',
      ]),
    );
    for (const name of ['PgrEnvironment', 'PgrRunbook', 'PgrStep', 'PgrStatus', 'PgrTarget'])
      expect(args).toContain(`${name}=Keyword`);
    expect(retentionArgs(ports)).toEqual(expect.arrayContaining(['--retention', '90d', '--namespace', 'pgr']));
  });

  it('run S3 on loopback, without telemetry, its keys in a file', () => {
    const args = weedArgs(paths, ports);
    expect(args).toEqual(
      expect.arrayContaining(['-ip.bind=127.0.0.1', '-master.telemetry=false', '-s3.config=/srv/lab/s3/s3.json']),
    );
    expect(JSON.parse(weedIdentities('a', 'b'))).toMatchObject({
      identities: [{ credentials: [{ accessKey: 'a', secretKey: 'b' }] }],
    });
    expect(workerArgs('/dist', paths)).toEqual([
      '/dist/workers/main.js',
      'worker',
      '--all',
      '--config',
      '/srv/lab/recovery.yaml',
    ]);
  });
});
