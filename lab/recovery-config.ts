/**
 * recovery.yaml of the lab. Written once; afterwards only addresses are changed in it, so that what people add (approval policies, checks,
 * another timeout) stays.
 */
import { Document, isNode, parseDocument } from 'yaml';

import type { S3LocationConfig } from '../config/schema.js';
import {
  LAB_APP,
  LAB_BUCKET,
  LAB_DATABASE,
  LAB_ENVIRONMENT,
  LAB_NAMESPACE,
  LAB_POOLER_USER,
  LAB_REPLICATION_USER,
  LAB_SUPERUSER,
  NODES,
  type LabPaths,
  type NodeName,
} from './paths.js';
import { applicationPorts, type Extra } from './extras.js';
import { datasetOf } from './pool.js';
import type { LabPorts } from './ports.js';

export type LabConfigInput = {
  paths: LabPaths;
  ports: LabPorts;
  binDir: string;
  /** Words that start `lab/app.js`; the verb and the directory are added. */
  appProgram: readonly string[];
  runAs: string | null;
  extras: readonly Extra[];
};

/** The address of the application: the pooler, the write VIP, or both nodes, whichever accepts writes. */
export function writeUrl(extras: readonly Extra[], ports: LabPorts, user: string): string {
  const hosts = applicationPorts(extras, ports)
    .map((port) => `127.0.0.1:${String(port)}`)
    .join(',');
  return `postgresql://${user}@${hosts}/${LAB_DATABASE}?target_session_attrs=read-write`;
}

const YAML_STYLE = { lineWidth: 140 };

const HEADING = ` Written by pgr lab up. Yours to change (approvals, checks, timeouts): only addresses are rewritten, and only when a port had to
 change. Every key is explained in recovery.example.yaml; run \`pgr config check\` after a change and \`pgr lab up\` to restart the worker.`;

/** Text of a new recovery.yaml. */
export function labConfigText(input: LabConfigInput): string {
  const document = new Document(labConfig(input));
  document.commentBefore = HEADING;
  return document.toString(YAML_STYLE);
}

function labConfig(input: LabConfigInput): object {
  const { paths, ports, binDir, runAs } = input;
  const secret = (name: Parameters<LabPaths['secret']>[0]): string => `file:${paths.secret(name)}`;
  return {
    version: 1,
    temporal: temporalPart(ports),
    stateDir: paths.stateDir,
    record: { kind: 'directory', path: paths.recordDir },
    environments: {
      [LAB_ENVIRONMENT]: {
        postgres: {
          user: LAB_SUPERUSER,
          password: secret('postgres'),
          database: LAB_DATABASE,
          replicationUser: LAB_REPLICATION_USER,
          replicationPassword: secret('replicator'),
        },
        nodes: NODES.map((node) => ({
          name: node,
          host: node,
          address: '127.0.0.1',
          port: ports[node],
          dataDir: paths.dataDir(node),
          binDir,
          runtime: { kind: 'process', ...(runAs === null ? {} : { runAs }), logFile: paths.serverLog(node) },
          ...(input.extras.includes('haproxy') ? { health: healthPart(ports, node) } : {}),
          ...(input.extras.includes('zfs') ? { snapshot: snapshotPart(paths, node) } : {}),
        })),
        routing: routingPart(input),
        ...(input.extras.includes('pgbouncer') ? { poolers: [poolerPart(input)] } : {}),
        backups: { kind: 's3', ...s3Location(paths, ports) },
        sandbox: { ports: sandboxPorts(ports) },
        heartbeat: { enabled: true, every: '5s' },
        apps: [appPart(input)],
        checks: CHECKS,
      },
    },
  };
}

const healthPart = (ports: LabPorts, node: NodeName): object => ({
  kind: 'pgr',
  listen: '127.0.0.1',
  port: ports[node === 'dallas' ? 'healthDallas' : 'healthChicago'],
});

const snapshotPart = (paths: LabPaths, node: NodeName): object => ({ kind: 'zfs', dataset: datasetOf(paths, node) });

function routingPart({ extras, ports }: LabConfigInput): object {
  // The VIP itself, not the pooler before it: what pgr looks at must not wait in a paused pool.
  const url = writeUrl(
    extras.filter((extra) => extra !== 'pgbouncer'),
    ports,
    LAB_SUPERUSER,
  );
  if (!extras.includes('haproxy')) return { kind: 'multihost', url };
  const instance = {
    name: 'lb1',
    api: `127.0.0.1:${String(ports.haproxyApi)}`,
    stats: `http://127.0.0.1:${String(ports.haproxyStats)}/stats`,
  };
  return { kind: 'haproxy', url, instances: [instance] };
}

function poolerPart({ paths, ports }: LabConfigInput): object {
  const address = { address: '127.0.0.1', port: ports.pgbouncer };
  const login = { user: LAB_POOLER_USER, password: `file:${paths.secret('pgbouncer')}` };
  return { name: 'pool1', kind: 'pgbouncer', ...address, ...login, databases: [LAB_DATABASE] };
}

/** What somebody who knows this shop would look at before saying that a recovered copy is good. */
const CHECKS = [
  { name: 'the customers are there', sql: 'select count(*) from customers', expect: '>= 40000' },
  {
    name: 'every payment belongs to an order',
    sql: 'select p.id from payments p left join orders o on o.id = p.order_id where o.id is null limit 5',
    expect: 'no rows',
  },
  { name: 'no order has a negative total', sql: 'select id from orders where total < 0 limit 5', expect: 'no rows' },
];

/** Twenty ports of this lab's own, so that sandboxes of two labs on one machine do not meet. */
function sandboxPorts(ports: LabPorts): [number, number] {
  const first = 10_000 + (ports.dallas % 499) * 20;
  return [first, first + 19];
}

function temporalPart(ports: LabPorts): object {
  return { address: `127.0.0.1:${ports.temporal}`, namespace: LAB_NAMESPACE, ui: temporalUi(ports) };
}

/** Address of the Temporal Web UI. */
export function temporalUi(ports: LabPorts): string {
  return `http://127.0.0.1:${ports.temporalUi}`;
}

/** Address of the S3 server. */
export function s3Endpoint(ports: LabPorts): string {
  return `http://127.0.0.1:${ports.s3}`;
}

/** The bucket of the lab as the config names it. */
export function s3Location(paths: LabPaths, ports: LabPorts): S3LocationConfig {
  return {
    endpoint: s3Endpoint(ports),
    region: 'us-east-1',
    bucket: LAB_BUCKET,
    prefix: `${LAB_ENVIRONMENT}/`,
    forcePathStyle: true,
    accessKeyId: `file:${paths.secret('s3-access-key-id')}`,
    secretAccessKey: `file:${paths.secret('s3-secret-access-key')}`,
  };
}

function appPart(input: LabConfigInput): object {
  return {
    name: LAB_APP,
    host: NODES[0],
    kind: 'command',
    stop: appCommand(input, 'stop'),
    start: appCommand(input, 'start'),
    status: appCommand(input, 'status'),
    timeout: '30s',
  };
}

function appCommand({ appProgram, paths }: LabConfigInput, verb: string): string[] {
  return [...appProgram, verb, '--dir', paths.dir];
}

/** A lab that gets its proxy or pooler later; what is there already gets today's ports. */
function setExtras(document: Document, input: LabConfigInput): void {
  const environment = ['environments', LAB_ENVIRONMENT];
  const put = (path: (string | number)[], value: object): void => {
    const there = document.getIn(path);
    const text = JSON.stringify(isNode(there) ? there.toJSON() : there);
    if (text !== JSON.stringify(value)) document.setIn(path, document.createNode(value));
  };
  put([...environment, 'routing'], routingPart(input));
  if (input.extras.includes('pgbouncer')) put([...environment, 'poolers'], [poolerPart(input)]);
  NODES.forEach((node, index) => {
    const place = [...environment, 'nodes', index];
    if (document.getIn([...place, 'name']) !== node) return;
    if (input.extras.includes('haproxy')) put([...place, 'health'], healthPart(input.ports, node));
    if (input.extras.includes('zfs')) put([...place, 'snapshot'], snapshotPart(input.paths, node));
  });
}

/**
 * `text` with today's addresses, program directory and application commands; the very same text when they are in it already. Comments
 * and all other keys stay.
 */
export function withAddresses(text: string, input: LabConfigInput): string {
  const document = parseDocument(text);
  const set = (path: (string | number)[], value: unknown): void => {
    if (document.hasIn(path) && document.getIn(path) !== value) document.setIn(path, value);
  };
  const { ports } = input;
  const environment = ['environments', LAB_ENVIRONMENT];
  set(['temporal', 'address'], `127.0.0.1:${ports.temporal}`);
  set(['temporal', 'ui'], temporalUi(ports));
  set([...environment, 'backups', 'endpoint'], s3Endpoint(ports));
  setExtras(document, input);
  NODES.forEach((node, index) => {
    if (document.getIn([...environment, 'nodes', index, 'name']) !== node) return;
    set([...environment, 'nodes', index, 'port'], ports[node]);
    set([...environment, 'nodes', index, 'binDir'], input.binDir);
  });
  if (document.getIn([...environment, 'apps', 0, 'name']) === LAB_APP) {
    for (const verb of ['stop', 'start', 'status'] as const) {
      appCommand(input, verb).forEach((word, index) => {
        set([...environment, 'apps', 0, verb, index], word);
      });
    }
  }
  const changed = document.toString(YAML_STYLE);
  return parseDocument(text).toString(YAML_STYLE) === changed ? text : changed;
}
