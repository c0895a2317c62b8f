/** What HAProxy says of its servers, as text. Columns are found by their names: every version appends some. Pure. */
import type { TopologyRouter } from '../../shared/contracts/topology.js';

export type StatRow = Readonly<Record<string, string>>;

/** Rows of `show stat` or of the statistics page with `;csv`. Null when the text is not that. */
export function parseStat(text: string): StatRow[] | null {
  const [head, ...lines] = text.trim().split(/\r?\n/);
  if (head === undefined || !head.startsWith('# ')) return null;
  const names = splitCsv(head.slice(2));
  if (!names.includes('pxname') || !names.includes('status')) return null;
  return lines.filter((line) => line !== '').map((line) => rowOf(names, splitCsv(line)));
}

/** Fields of one line; a field in quotes may hold commas, and a quote as two. */
function splitCsv(line: string): string[] {
  return [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)]
    .slice(0, -1)
    .map(([, field = '']) => (field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field));
}

function rowOf(names: readonly string[], fields: readonly string[]): StatRow {
  return Object.fromEntries(names.map((name, index) => [name, fields[index] ?? '']));
}

/** Servers of one backend; HAProxy shows its sums as servers with these two names. */
export function serversOf(rows: readonly StatRow[], backend: string): StatRow[] {
  return rows.filter((row) => row['pxname'] === backend && row['svname'] !== 'BACKEND' && row['svname'] !== 'FRONTEND');
}

/** `UP 1/2` still gets sessions and `DOWN 1/2` not yet; `no check` is never taken away. */
export function stateOf(row: StatRow): TopologyRouter['state'] {
  const status = row['status'] ?? '';
  if (/^(UP|no check)\b/.test(status)) return 'up';
  if (/^(DRAIN|NOLB)\b/.test(status)) return 'drain';
  if (status.startsWith('MAINT')) return 'maint';
  return status.startsWith('DOWN') ? 'down' : 'unknown';
}

/** `L7OK/200`; the status itself where nothing is checked. A check that is running is marked with a star, which says nothing to people. */
export function checkOf(row: StatRow): string {
  const check = (row['check_status'] ?? '').replace(/^\* /, '');
  if (check === '') return row['status'] ?? '';
  const code = row['check_code'] ?? '';
  return code === '' ? check : `${check}/${code}`;
}

/** Sessions of a server now; null when the text has none. */
export function sessionsOf(row: StatRow): number | null {
  const sessions = row['scur'] ?? '';
  return /^\d+$/.test(sessions) ? Number(sessions) : null;
}

/**
 * True for servers that a person or a program has put into maintenance or drain, by name, from `show servers state`: a drained server whose check
 * fails shows as DOWN in the statistics. Null when the text is not that.
 */
export function parseForced(text: string): Map<string, boolean> | null {
  const lines = text.trim().split('\n');
  const head = lines.find((line) => line.startsWith('# '));
  if (head === undefined) return null;
  const names = head.slice(2).trim().split(/\s+/);
  const at = (fields: readonly string[], name: string): string => fields[names.indexOf(name)] ?? '';
  const servers = lines.slice(lines.indexOf(head) + 1).map((line) => line.trim().split(/\s+/));
  return new Map(
    servers.map((fields) => [at(fields, 'srv_name'), (Number(at(fields, 'srv_admin_state')) & FORCED) !== 0]),
  );
}

/** SRV_ADMF_FMAINT and SRV_ADMF_FDRAIN (HAProxy management guide, "show servers state"). */
const FORCED = 0x01 | 0x08;
