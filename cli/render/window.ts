import type { WindowResult } from '../../shared/contracts/plan.js';
import { renderPairs, renderTable } from './table.js';
import { formatBytes, formatTime, oneLine, relativeTo } from './text.js';

/** What can be recovered. Pure. */
export function renderWindow(window: WindowResult, now: Date): string {
  const { environment, earliest, latest, timeline } = window;
  const at = (iso: string | null): string =>
    iso === null ? 'nothing can be recovered' : `${iso} ${relativeTo(iso, now)}`;
  const head = renderPairs([
    ['environment', environment],
    ['backup store', window.store === undefined ? null : `${window.store} (${window.kind ?? 'unknown'})`],
    ['earliest', at(earliest)],
    ['latest', at(latest)],
    ['last commit', lastCommitText(window)],
    ['timeline', timeline === null ? null : String(timeline)],
  ]);
  const next =
    latest === null ? `next: pgr check ${environment}\n` : `next: pgr pitr ${environment} --to ${latest} --plan\n`;
  return [head, basesTable(window), holesTable(window), othersTable(window), warningLines(window), next]
    .filter((part) => part !== '')
    .join('\n');
}

function lastCommitText({ lastCommit, lastCommitUnknown }: WindowResult): string {
  if (lastCommit !== null) return `transaction ${lastCommit.xid} at ${lastCommit.lsn}`;
  return lastCommitUnknown === true ? 'known after a fetch: this store shows its wal only then' : 'none in the archive';
}

function basesTable({ bases }: WindowResult): string {
  if (bases.length === 0) return 'no bases\n';
  const rows = bases.map((base) => [
    base.id,
    base.kind,
    formatTime(base.endedAt),
    String(base.timeline),
    formatBytes(base.bytes),
    base.usable ? 'yes' : `no: ${base.why ?? 'unknown'}`,
  ]);
  return renderTable(['BASE', 'KIND', 'ENDED', 'TIMELINE', 'SIZE', 'USABLE'], rows);
}

function holesTable({ holes }: WindowResult): string {
  if (holes.length === 0) return 'no holes\n';
  const rows = holes.map((hole) => [
    String(hole.timeline),
    hole.from,
    hole.to,
    hole.firstMissing === hole.lastMissing ? hole.firstMissing : `${hole.firstMissing} to ${hole.lastMissing}`,
  ]);
  return renderTable(['HOLE ON TIMELINE', 'LAST BEFORE', 'FIRST AFTER', 'MISSING WAL'], rows);
}

function othersTable({ others = [] }: WindowResult): string {
  if (others.length === 0) return '';
  const rows = others.map((other) =>
    'why' in other
      ? [other.store, other.kind, 'unknown', '']
      : [other.store, other.kind, other.earliest ?? 'nothing can be recovered', other.latest ?? ''],
  );
  const why = others.flatMap((other) => ('why' in other ? [`store ${other.store}: ${oneLine(other.why)}\n`] : []));
  return `${renderTable(['OTHER STORE', 'KIND', 'EARLIEST', 'LATEST'], rows)}${why.join('')}`;
}

function warningLines({ warnings }: WindowResult): string {
  return warnings.map((warning) => `warning: ${oneLine(warning)}\n`).join('');
}
