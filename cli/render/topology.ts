/** The topology as people read it: one calm table, who takes writes, and at the end what is wrong with what to do about it. Pure. */
import type { Topology, TopologyNode, TopologyRouter } from '../../shared/contracts/topology.js';
import type { Style } from './style.js';
import { renderPairs, renderTable } from './table.js';
import { count, formatBytes, formatDuration, oneLine, truncate, widthOf } from './text.js';

export type TopologyView = { style: Style; columns: number; probed: boolean };

/** Shorter, and nobody knows any more which node it is. */
const SHORTEST_NAME = 8;

/** `pgr topology`. */
export function renderTopology(seen: Topology, view: TopologyView): string {
  const fit = (value: string | null): string | null => (value === null ? null : truncate(value, view.columns - 10));
  const facts = renderPairs([
    ['writes', fit(writesOf(seen, view.probed))],
    ['through', fit(shortAddress(seen.writeVip.address))],
    ['archive', fit(archiveOf(seen))],
    ['slots', fit(slotsOf(seen))],
    ['poolers', fit(seen.poolers.map(({ name, state }) => `${name} ${state}`).join(', ') || null)],
    ['server', fit(serverOf(seen))],
  ]);
  return [nodesTable(seen, view.columns), facts, contradictionLines(seen, view)].join('\n');
}

function nodesTable({ nodes, routers }: Topology, columns: number): string {
  const header = ['NODE', 'ROLE', 'TL', 'LSN', 'LAG', 'HEALTH', 'ROUTER'];
  const rows = nodes.map((node) => [
    node.name,
    node.role,
    node.timeline === null ? '-' : String(node.timeline),
    node.lsn ?? node.replayLsn ?? '-',
    lagOf(node),
    node.health ?? '-',
    routerOf(node, routers),
  ]);
  const widest = Math.max(...renderTable(header, rows).split('\n').map(widthOf));
  const longest = Math.max(0, ...nodes.map(({ name }) => widthOf(name)));
  const room = Math.max(SHORTEST_NAME, longest - Math.max(0, widest - columns));
  return renderTable(
    header,
    rows.map(([name = '', ...rest]) => [truncate(name, room), ...rest]),
  );
}

function lagOf({ role, lagBytes, lagSeconds }: TopologyNode): string {
  if (role !== 'standby') return '-';
  if (lagBytes === null) return '?';
  return lagBytes === 0 || lagSeconds === null
    ? formatBytes(lagBytes)
    : `${formatBytes(lagBytes)}, ${formatDuration(lagSeconds)}`;
}

/** What the routers say of a node: one word when they agree, each different one otherwise. */
function routerOf({ name }: TopologyNode, routers: readonly TopologyRouter[]): string {
  if (routers.length === 0) return '-';
  const states = routers.filter(({ node, server }) => node === name || server === '*').map(({ state }) => state);
  const words = [...new Set(states.map((state) => (state === 'unknown' ? '?' : state)))];
  return words.length === 0 ? '-' : words.join('/');
}

function writesOf({ writeVip }: Topology, probed: boolean): string {
  const { owner, probe } = writeVip;
  const who = owner ?? 'nobody known';
  const how = probed ? 'a write was taken and rolled back' : 'asked, nothing was written';
  return probe.ok ? `${who} (${how}, ${String(probe.ms)} ms)` : `${who}: refused, ${probe.why ?? 'no reason given'}`;
}

/** Hosts and database; the whole URL is in the JSON. */
function shortAddress(url: string): string {
  return url.replace(/^[a-z]+:\/\/(?:[^@/?]*@)?/, '').replace(/\?.*$/, '');
}

function archiveOf({ archiver }: Topology): string | null {
  if (archiver === null) return null;
  const last = archiver.lastArchived ?? 'nothing yet';
  return archiver.failing
    ? `${archiver.node} fails at ${archiver.lastFailed ?? 'a file'}`
    : `${archiver.node}, last ${last}`;
}

function slotsOf({ slots }: Topology): string | null {
  if (slots.length === 0) return null;
  return slots
    .map(({ node, slot, active, retainedBytes }) => {
      const kept = retainedBytes === null ? 'no WAL' : formatBytes(retainedBytes);
      return `${slot} on ${node} (${active ? 'active' : 'inactive'}, ${kept})`;
    })
    .join(', ');
}

function serverOf({ nodes }: Topology): string | null {
  const unique = (values: (string | null)[]): string =>
    [...new Set(values.filter((value) => value !== null))].join(' and ');
  const system = unique(nodes.map(({ systemIdentifier }) => systemIdentifier));
  return system === '' ? null : `PostgreSQL ${unique(nodes.map(({ version }) => version))}, system ${system}`;
}

function contradictionLines(
  { environment, contradictions, advice }: Topology,
  { style, columns }: TopologyView,
): string {
  if (contradictions.length === 0) return `${environment}: no contradictions\n`;
  const lines = contradictions.flatMap((text, index) => {
    const [first = '', ...more] = wrap(oneLine(text), columns - 7);
    const next = wrap(oneLine(advice[index] ?? ''), columns - 4);
    return [
      `${style.check(false)} ${first}`,
      ...more.map((line) => `  ${line}`),
      ...next.map((line, at) => style.dim(`  ${at === 0 ? '> ' : '  '}${line}`)),
    ];
  });
  return [`${environment}: ${count(contradictions.length, 'contradiction')}`, ...lines, ''].join('\n');
}

/** Lines of at most `width` characters, broken at spaces; a longer word stays whole, so that it can be copied. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
