/** What the peer must offer: room for a standby, a login for replication, the rights that pg_rewind needs; and how large it is. */
import type pg from 'pg';

import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { attempt, row } from '../checks/check-row.js';
import { connectNode, replicationAddress, withClient } from '../connection.js';

export type PeerFacts = {
  bytes: number;
  freeSenders: number;
  freeSlots: number;
  slot: { type: string; active: boolean; status: string | null } | null;
  otherStandbys: number;
  /** `sync`, `quorum` …: commits may wait for the node that goes away. */
  syncState: string | null;
  fullPageWrites: boolean;
  /** The login may call what pg_rewind calls. */
  rewindAllowed: boolean;
};

/** pg_basebackup streams WAL beside the files: two connections at once. */
const SENDERS_NEEDED = 2;
/** Functions of pg_rewind on a live source (PostgreSQL docs, pg_rewind). */
const REWIND_FUNCTIONS = [
  'pg_ls_dir(text, boolean, boolean)',
  'pg_stat_file(text, boolean)',
  'pg_read_binary_file(text)',
  'pg_read_binary_file(text, bigint, bigint, boolean)',
];

/** `names`: application name of the standby and its slot. */
export async function readPeer(
  deps: ActivityDeps,
  environment: string,
  from: string,
  names: { node: string; slot: string },
): Promise<PeerFacts> {
  return connectNode(deps, environment, from, {}, (client) => readFacts(client, names));
}

async function readFacts(client: pg.Client, names: { node: string; slot: string }): Promise<PeerFacts> {
  const { rows } = await client.query<Omit<PeerFacts, 'slot' | 'bytes'> & { bytes: string }>(
    `select (select sum(pg_database_size(oid)) from pg_database)::text as bytes,
            current_setting('max_wal_senders')::int - (select count(*) from pg_stat_replication)::int as "freeSenders",
            current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots)::int as "freeSlots",
            (select count(*) from pg_stat_replication where application_name <> $1 and state = 'streaming')::int as "otherStandbys",
            (select sync_state from pg_stat_replication where application_name = $1 limit 1) as "syncState",
            current_setting('full_page_writes') = 'on' as "fullPageWrites",
            (select bool_and(has_function_privilege(f, 'execute')) from unnest($2::text[]) f) as "rewindAllowed"`,
    [names.node, REWIND_FUNCTIONS],
  );
  const slots = await client.query<NonNullable<PeerFacts['slot']>>(
    'select slot_type as type, active, wal_status as status from pg_replication_slots where slot_name = $1',
    [names.slot],
  );
  const facts = rows[0];
  if (facts === undefined) throw stepFailure('Bug', 'the peer did not say what it has');
  return { ...facts, bytes: Number(facts.bytes), slot: slots.rows[0] ?? null };
}

/** Rows for the plan. `streams`: the standby runs and uses a connection and the slot itself. Pure. */
export function peerChecks(facts: PeerFacts, from: string, slot: string, streams: boolean): EvidenceCheck[] {
  const senders = facts.freeSenders + (streams ? 1 : 0);
  const taken = facts.slot?.active === true && !streams;
  const slotText =
    facts.slot === null
      ? `not there, ${String(facts.freeSlots)} free`
      : `${facts.slot.type}${taken ? ', used by somebody else' : ''}${facts.slot.status === 'lost' ? ', its WAL is lost: it is made again' : ''}`;
  const slotOk = facts.slot === null ? facts.freeSlots > 0 : facts.slot.type === 'physical' && !taken;
  return [
    row(
      'walsenders',
      `at least ${String(SENDERS_NEEDED)} free on ${from}`,
      `${String(senders)} free`,
      senders >= SENDERS_NEEDED,
    ),
    row('slot', `${slot} on ${from} is free for this standby`, slotText, slotOk),
  ];
}

/** A replication login from this host to the peer, as pg_basebackup and the standby will make it. */
export async function tryReplicationLogin(
  deps: ActivityDeps,
  environment: string,
  from: string,
  systemIdentifier: string,
): Promise<EvidenceCheck[]> {
  const expected = `${from} lets this host replicate system ${systemIdentifier}`;
  return attempt('replication-login', expected, async () => {
    const address = await replicationAddress(deps, environment, from);
    const seen = await withClient({ ...address, replication: true, plain: true }, async (client) => {
      const { rows } = await client.query<{ systemid: string }>('IDENTIFY_SYSTEM');
      return rows[0]?.systemid ?? 'nothing';
    });
    return [row('replication-login', expected, `answers for system ${seen}`, seen === systemIdentifier)];
  });
}
