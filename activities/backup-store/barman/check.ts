/** What `pgr check` says about a Barman: its own check line by line, and what that does not look at. */
import type { BackupStore } from '../../lib/backup-store.js';
import { parseCheck, type CheckAnswer } from './answers.js';
import { checkArgs } from './commands.js';
import { listWal, type BarmanPlaces } from './places.js';

type Line = Awaited<ReturnType<BackupStore['check']>>[number];

/** `barman check` takes ten seconds while a receiver has got nothing yet, and has a limit of its own (check_timeout, 30 s for each part). */
const CHECK_TIMEOUT_MS = 120_000;

/** One line per question; a question that could not be asked is a line that is not ok. */
export async function checkBarman(places: BarmanPlaces): Promise<Line[]> {
  const { barman } = places;
  const { server } = barman.config;
  const own = await attempt('barman-check', `\`barman check ${server}\` answers`, async () =>
    linesOf(parseCheck(await barman.ask(checkArgs(server), { timeoutMs: CHECK_TIMEOUT_MS }), server), server),
  );
  const backups = await attempt('barman-backups', 'a backup can be restored', async () => {
    const { headers, notes } = await places.catalog.read();
    const unusable = headers.flatMap(({ id, unusable: why }) => (why === undefined ? [] : [`backup ${id}: ${why}`]));
    const usable = headers.length - unusable.length;
    const actual = [`${String(usable)} of ${String(headers.length + notes.length)} backups`, ...unusable, ...notes];
    return [
      { check: 'barman-backups', expected: 'a backup can be restored', actual: actual.join('; '), ok: usable > 0 },
    ];
  });
  const expected = 'wal of barman can be read by this worker';
  const wal = await attempt('barman-wal', expected, async () => {
    const files = await listWal(places, '');
    const slow = files.filter(({ form }) => form === 'by-command').length;
    const found = files.length === 0 ? 'there is none' : `${String(files.length)} files`;
    const note = slow === 0 ? '' : `, ${String(slow)} of them only through barman get-wal, which is slow`;
    return [{ check: 'barman-wal', expected, actual: found + note, ok: files.length > 0 }];
  });
  return [...own, ...backups, ...wal];
}

/** What Barman's own lines mean for a recovery, and what to run; by the key in its answer. */
const HINTS: Readonly<Record<string, (server: string) => string>> = {
  receive_wal_running: (server) => `run \`barman cron\` (is it in a crontab?), else \`barman receive-wal ${server}\``,
  replication_slot: (server) => `run \`barman receive-wal --create-slot ${server}\``,
  wal_archive: (server) => `no wal has arrived yet: run \`barman switch-wal --force --archive ${server}\``,
  wal_maximum_age: (server) => `the newest wal is too old: run \`barman switch-wal --archive ${server}\``,
  backup_maximum_age: (server) => `run \`barman backup --wait ${server}\``,
  minimum_redundancy_requirements: (server) => `run \`barman backup --wait ${server}\``,
  failed_backups: (server) => `run \`barman list-backups ${server}\` and delete the failed ones`,
  archiver_errors: () => 'look at the directory errors/ of the server: wal arrived twice or damaged',
  systemid_coherence: () =>
    'the server is another cluster than the one in the catalogue of barman: do not take backups',
  postgresql: () => 'barman cannot connect with its conninfo',
  postgresql_streaming: () => 'barman cannot connect with its streaming_conninfo',
};

/** Lines of {@link CheckAnswer}: one for each part that failed, and one for all that did not. */
export function linesOf(answer: CheckAnswer, server: string): Line[] {
  const parts = Object.entries(answer);
  const failed = parts.filter(([, { status }]) => status !== 'OK');
  const good = parts.length - failed.length;
  const summary: Line = {
    check: 'barman-check',
    expected: `\`barman check ${server}\` finds nothing`,
    actual: `${String(good)} of ${String(parts.length)} parts ok`,
    ok: failed.length === 0 && parts.length > 0,
  };
  return [
    summary,
    ...failed.map(([part, { status, hint }]): Line => {
      const said = hint === null || hint === undefined || hint === '' ? '' : `: ${hint}`;
      const next = HINTS[part]?.(server);
      return {
        check: `barman:${part.replaceAll('_', '-')}`,
        expected: 'OK',
        actual: `${status}${said}${next === undefined ? '' : `; ${next}`}`,
        ok: false,
      };
    }),
  ];
}

async function attempt(check: string, expected: string, look: () => Promise<Line[]>): Promise<Line[]> {
  try {
    return await look();
  } catch (error) {
    return [{ check, expected, actual: error instanceof Error ? error.message : String(error), ok: false }];
  }
}
