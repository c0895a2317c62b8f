/** The nodes: reachable, one primary, standbys that follow, privileges for bases, nothing that loses data by its settings. */
import type pg from 'pg';

import type { NodeConfig } from '../../../config/schema.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf } from '../../lib/environment-config.js';
import { connectNode } from '../connection.js';
import { attempt, gigabytes, row } from './check-row.js';

type NodeAnswer = {
  role: 'primary' | 'standby';
  systemIdentifier: string;
  versionNumber: number;
  receiver: string | null;
  lagBytes: string | null;
};

/** A standby this far behind would lose this much when it has to take over. */
const LAG_LIMIT_BYTES = 64 * 1024 * 1024;

export type CheckedNodes = { rows: EvidenceCheck[]; primary: NodeConfig | null };

/** Asks all nodes at once. */
export async function checkNodes(deps: ActivityDeps, environmentName: string): Promise<CheckedNodes> {
  const { nodes } = environmentOf(deps.config, environmentName);
  const answers = new Map<string, NodeAnswer>();
  const perNode = await Promise.all(
    nodes.map((node) =>
      attempt(`connect:${node.name}`, 'answers', async () => {
        const answer = await connectNode(deps, environmentName, node.name, { connectTimeoutMs: 3_000 }, askNode);
        answers.set(node.name, answer);
        return rowsOf(node, answer);
      }),
    ),
  );
  const primaries = nodes.filter((node) => answers.get(node.name)?.role === 'primary');
  const identifiers = new Set([...answers.values()].map((answer) => answer.systemIdentifier));
  return {
    primary: primaries.length === 1 ? (primaries[0] ?? null) : null,
    rows: [
      ...perNode.flat(),
      row('primary', 'exactly one', primaries.map((node) => node.name).join(', ') || 'none', primaries.length === 1),
      row('same-cluster', 'one system identifier', [...identifiers].join(', ') || 'unknown', identifiers.size === 1),
    ],
  };
}

async function askNode(client: pg.Client): Promise<NodeAnswer> {
  const { rows } = await client.query<NodeAnswer>(
    `select case when pg_is_in_recovery() then 'standby' else 'primary' end as role,
            s.system_identifier::text as "systemIdentifier", current_setting('server_version_num')::int as "versionNumber",
            r.status as receiver,
            case when pg_is_in_recovery() then pg_wal_lsn_diff(r.latest_end_lsn, pg_last_wal_replay_lsn())::text end as "lagBytes"
       from pg_control_system() s left join pg_stat_wal_receiver r on true`,
  );
  const [answer] = rows;
  if (answer === undefined) throw new Error('the server gave no answer');
  return answer;
}

function rowsOf(node: NodeConfig, answer: NodeAnswer): EvidenceCheck[] {
  const connected = row(`connect:${node.name}`, 'answers', answer.role, true);
  if (answer.role === 'primary') return [connected];
  const lag = answer.lagBytes === null ? null : Number(answer.lagBytes);
  const streaming = answer.receiver === 'streaming';
  const lagText = lag === null ? 'unknown' : `${gigabytes(lag)} behind`;
  return [
    connected,
    row(`streaming:${node.name}`, 'streaming', answer.receiver ?? 'no WAL receiver', streaming),
    row(`lag:${node.name}`, `below ${gigabytes(LAG_LIMIT_BYTES)}`, lagText, lag !== null && lag < LAG_LIMIT_BYTES),
  ];
}

/** Settings of the primary without which a recovery is worth less, and the privileges that bases need. */
export async function checkPrimary(
  deps: ActivityDeps,
  environmentName: string,
  primary: NodeConfig,
): Promise<EvidenceCheck[]> {
  const { postgres } = environmentOf(deps.config, environmentName);
  return attempt('settings', 'readable', () =>
    connectNode(deps, environmentName, primary.name, {}, async (client) => [
      ...(await checkSettings(client)),
      ...(await checkPrivileges(client, postgres.replicationUser ?? postgres.user)),
      ...(await checkSlots(client)),
    ]),
  );
}

const WANTED: Record<string, readonly string[]> = {
  wal_level: ['replica', 'logical'],
  fsync: ['on'],
  full_page_writes: ['on'],
  data_checksums: ['on'],
  default_transaction_read_only: ['off'],
};

async function checkSettings(client: pg.Client): Promise<EvidenceCheck[]> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    'select name, setting from pg_settings where name = any($1)',
    [Object.keys(WANTED)],
  );
  return Object.entries(WANTED).map(([name, allowed]) => {
    const actual = rows.find((setting) => setting.name === name)?.setting ?? 'unknown';
    return row(`setting:${name}`, allowed.join(' or '), actual, allowed.includes(actual));
  });
}

async function checkPrivileges(client: pg.Client, role: string): Promise<EvidenceCheck[]> {
  const { rows } = await client.query<{ may: boolean }>(
    'select rolreplication or rolsuper as may from pg_roles where rolname = $1',
    [role],
  );
  const may = rows[0]?.may;
  const actual = may === undefined ? 'there is no such role' : may ? 'yes' : 'no';
  return [row('replication-privilege', `${role} may replicate`, actual, may === true)];
}

async function checkSlots(client: pg.Client): Promise<EvidenceCheck[]> {
  const { rows } = await client.query<{
    name: string;
    active: boolean;
    status: string | null;
    retained: string | null;
  }>(
    `select slot_name as name, active, wal_status as status,
            pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text as retained from pg_replication_slots where not temporary`,
  );
  return rows.map((slot) => {
    const retained = slot.retained === null ? 'retains nothing' : `retains ${gigabytes(Number(slot.retained))}`;
    const ok = slot.active && !['lost', 'unreserved'].includes(slot.status ?? 'lost');
    const actual = `${slot.active ? 'active' : 'inactive'}, ${slot.status ?? 'never used'}, ${retained}`;
    return row(
      `slot:${slot.name}`,
      'active',
      actual,
      ok,
      ok ? undefined : 'an inactive slot keeps WAL until the disk is full',
    );
  });
}
