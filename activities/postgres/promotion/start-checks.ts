/** What must be true of a server before and after its ordinary start. */
import type pg from 'pg';

import { stepFailure } from '../../lib/failure.js';

export type ServerFacts = {
  systemIdentifier: string;
  inRecovery: boolean;
  timeline: number;
  settings: readonly SettingFact[];
};

export type SettingFact = { name: string; value: string; source: string };

/**
 * Settings that a sandbox or the end of a recovery has on its command line, and how their values are told from what a node's own start command says
 * (that of a container may well set archive_mode).
 */
const OURS: Readonly<Record<string, (value: string) => boolean>> = {
  archive_mode: (value) => value === 'off',
  fsync: (value) => value === 'off',
  full_page_writes: (value) => value === 'off',
  default_transaction_read_only: (value) => value === 'on',
  cluster_name: (value) => value.startsWith('pgr-'),
  primary_conninfo: (value) => value === '',
  restore_command: (value) => value === 'false' || value.includes('restore-wal.sh'),
  autovacuum: (value) => value === 'off',
};
const TARGET_NAMES = ['', '_lsn', '_name', '_time', '_xid'].map((suffix) => `recovery_target${suffix}`);

/** Identity, role, timeline and the settings that decide whether this is production or what is left of a recovery. */
export async function readServerFacts(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query<{ system: string; recovery: boolean; timeline: number | null }>(
    `select s.system_identifier::text as system, pg_is_in_recovery() as recovery,
            case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), c.timeline_id)
                 else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end as timeline
       from pg_control_system() s, pg_control_checkpoint() c`,
  );
  const settings = await client.query<SettingFact>(
    'select name, setting as value, source from pg_settings where name = any($1)',
    [[...Object.keys(OURS), ...TARGET_NAMES]],
  );
  const row = rows[0];
  if (row === undefined) throw stepFailure('Bug', 'the server did not say who it is');
  return {
    systemIdentifier: row.system,
    inRecovery: row.recovery,
    timeline: row.timeline ?? 0,
    settings: settings.rows,
  };
}

/** What is wrong with the settings of a production primary, which archives where that is its duty; empty when nothing is. Pure. */
export function primaryProblems(facts: ServerFacts, archives = true): string[] {
  const value = (name: string): string => facts.settings.find((setting) => setting.name === name)?.value ?? '';
  const problems = [...leftovers(facts.settings)];
  if (facts.inRecovery) problems.push('it is in recovery');
  const mode = value('archive_mode');
  if (archives && !['on', 'always'].includes(mode)) problems.push(`archive_mode is ${mode}`);
  if (value('default_transaction_read_only') === 'on') problems.push('default_transaction_read_only is on');
  return problems;
}

/** Settings of recovery or of a sandbox that are still in force, on a primary or a standby. Pure. */
export function leftovers(settings: readonly SettingFact[]): string[] {
  const commandLine = settings
    .filter(({ name, value, source }) => source === 'command line' && OURS[name]?.(value) === true)
    .map((setting) => `${setting.name} = ${setting.value} comes from its command line`);
  const targets = settings
    .filter((setting) => TARGET_NAMES.includes(setting.name) && setting.value !== '')
    .map((setting) => `${setting.name} is still set to ${setting.value}`);
  return [...commandLine, ...targets];
}
