/**
 * The careful script that people have: CHECKPOINT, stop the primary, promote the standby, and wait until HAProxy's checks have found it. The old primary
 * comes back as a standby, so that the next round can flip back.
 */
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { query, type FlipLab } from './flip-lab.js';
import { runProgram } from './processes.js';

/** Flips once; there is no decision to measure from. */
export async function flipByHand(lab: FlipLab): Promise<null> {
  const old = lab.nodes.find(({ role }) => role === 'primary');
  const next = lab.nodes.find(({ role }) => role === 'standby');
  if (old === undefined || next === undefined) throw new Error('the lab has no pair');
  const owner = await stat(old.dataDir);
  const user = process.getuid?.() === 0 ? { name: '', uid: owner.uid, gid: owner.gid } : null;
  const pgCtl = (...args: string[]): Promise<string> => runProgram(path.join(lab.binDir, 'pg_ctl'), args, { user });
  const [login] = await query<{ conninfo: string }>(next.url, "select current_setting('primary_conninfo') as conninfo");
  await query(old.url, 'checkpoint');
  await pgCtl('-D', old.dataDir, '-m', 'fast', '-w', 'stop');
  await query(next.url, 'select pg_promote(true)');
  await query(
    next.url,
    `select pg_create_physical_replication_slot('${old.name}', true) where not exists (select 1 from pg_replication_slots where slot_name = '${old.name}')`,
  );
  await writeFile(path.join(old.dataDir, 'standby.signal'), '');
  // The two follow each other with the same login: only the port differs.
  const conninfo = (login?.conninfo ?? '').replace(/port=\S+/, `port=${String(next.port)}`).replaceAll("'", "''");
  const follow = `primary_conninfo = '${conninfo}'\nprimary_slot_name = '${old.name}'\n`;
  await writeFile(path.join(old.dataDir, 'postgresql.auto.conf'), follow, { flag: 'a' });
  await pgCtl('-D', old.dataDir, '-l', `${old.dataDir}.bench.log`, '-w', 'start');
  return null;
}
