/** The lab's answers as text for people. Pure; passwords are left out. */
import type { AccidentReport } from './accident.js';
import type { LabStatus } from './status.js';

/** `postgresql://user@host` of a URL with a password. */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z]+:\/\/[^:@/]+):[^@/]*@/, '$1@');
}

const EXTRA_NAMES: Record<string, string> = { healthDallas: 'pg-health', healthChicago: 'pg-health' };

/** What there is, where it is and what to do next. */
export function describeStatus(status: LabStatus): string {
  const pid = (found: number | null): string => (found === null ? 'down' : `pid ${found}`);
  const rows: [string, string, string][] = [
    ['temporal', pid(status.temporal.pid), status.temporal.ui],
    ['s3', pid(status.s3.pid), `${status.s3.endpoint}/${status.s3.bucket}`],
    ...status.nodes.map((node): [string, string, string] => [
      node.name,
      pid(node.pid),
      `${node.role}, ${withoutPassword(node.url)}`,
    ]),
    ...status.extras.map(({ name, pid: found, address }): [string, string, string] => [
      EXTRA_NAMES[name] ?? name,
      pid(found),
      address,
    ]),
    ['worker', pid(status.workers[0]?.pid ?? null), 'all roles'],
    ['writer', pid(status.writer.pid), 'about four orders a second'],
  ];
  const lines = rows.map(([name, state, what]) => `  ${name.padEnd(9)} ${state.padEnd(11)} ${what}`);
  return [
    `lab ${status.state} in ${status.dir}`,
    ...lines,
    `  write     ${withoutPassword(status.write.url)}`,
    `  config    ${status.config}`,
    ...nextOf(status).map((command) => `next: ${command}`),
    '',
  ].join('\n');
}

function nextOf(status: LabStatus): string[] {
  if (status.state !== 'up') return ['pgr lab up'];
  return ['pgr window lab', 'pgr lab accident delete-without-where'];
}

/** The mistake, and the command that recovers from it. */
export function describeAccident(report: AccidentReport): string {
  const lost = Object.entries(report.lost)
    .map(([table, rows]) => `${rows.toLocaleString('en-US')} of ${table}`)
    .join(', ');
  const verb = report.kind === 'bad-migration' ? 'overwritten' : 'gone';
  return [
    report.story,
    `  committed       ${report.at} on ${report.node}, transaction ${report.xid}`,
    `  last good time  ${report.lastGoodTime}`,
    `  rows ${verb.padEnd(10)} ${report.rowsLost.toLocaleString('en-US')} (${lost})`,
    `next: pgr pitr lab --to ${report.lastGoodTime} --promote --watch`,
    '',
  ].join('\n');
}
