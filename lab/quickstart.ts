/**
 * `npm run quickstart`: the whole story on real parts. It calls the same `pgr` that people call and reads its JSON, so what it
 * shows is what they will see.
 */
import { parseArgs } from 'node:util';
import path from 'node:path';

import { runPgr, type Pgr } from './quickstart-pgr.js';
import { explainGate, waitForDecision } from './quickstart-gate.js';
import { countOrders, describeData, newestKeptOrder, type DataView } from './quickstart-data.js';
import { followRun, promotionOf, type RunDocument } from './quickstart-follow.js';

type Accident = { at: string; xid: string; lastGoodTime: string; rowsLost: number };
type LabStatus = { write: { url: string }; temporal: { ui: string; namespace: string } };
type Started = { run: string; ui: string };

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const heading = (text: string): void => {
  say(`\n== ${text}`);
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { yes: { type: 'boolean', default: false }, dir: { type: 'string', default: '.lab' } },
  });
  const startedAt = Date.now();
  const pgr = runPgr(path.resolve(values.dir));

  heading('1. A real environment: Temporal, S3, two PostgreSQL nodes, an application that writes');
  await pgr.show(['lab', 'up']);
  const lab = await pgr.json<LabStatus>(['lab', 'status']);
  const before = await countOrders(lab.write.url);

  heading('2. A real mistake');
  const accident = await pgr.json<Accident>(['lab', 'accident', 'delete-without-where']);
  say(
    `DELETE FROM orders, without WHERE: ${String(accident.rowsLost)} rows gone at ${accident.at} in transaction ${accident.xid}`,
  );
  const damaged = await countOrders(lab.write.url);
  say(`orders: ${describeData(before)} before, ${describeData(damaged)} now (the application goes on writing)`);

  heading(`3. Point-in-time recovery to ${accident.lastGoodTime}, the moment before`);
  const started = await pgr.json<Started>([
    'pitr',
    'lab',
    '--to',
    accident.lastGoodTime,
    '--promote',
    '--reason',
    'quickstart: DELETE without WHERE',
  ]);
  say(`run ${started.run}\nui  ${started.ui}`);
  const atGate = await followRun(pgr, started.run, ['waiting-approval'], say);
  await approve(pgr, atGate, started, values.yes);

  heading('5. Promotion into production');
  const promoted = await followRun(pgr, await promotionOf(pgr, started.run), [], say);
  const ended = await followRun(pgr, started.run, [], () => undefined);

  heading('6. The data, through the write address');
  await showResult({ pgr, lab, before, damaged, accident, ended, promoted });
  say(
    `\nAll of it took ${String(Math.round((Date.now() - startedAt) / 1000))} s. Bring the lab down: bin/pgr lab down; remove it: bin/pgr lab destroy`,
  );
}

async function approve(pgr: Pgr, atGate: RunDocument, started: Started, yes: boolean): Promise<void> {
  heading('4. The evidence, and a person who decides');
  for (const line of explainGate(atGate, started.ui)) say(line);
  const decision = await waitForDecision(pgr, atGate, yes || !process.stdin.isTTY, say);
  if (decision === 'rejected')
    throw new Error('rejected: production was not touched, the sandbox is kept for its time to live');
}

type Outcome = {
  pgr: Pgr;
  lab: LabStatus;
  before: DataView;
  damaged: DataView;
  accident: Accident;
  ended: RunDocument;
  promoted: RunDocument;
};

async function showResult({ pgr, lab, before, accident, ended, promoted }: Outcome): Promise<void> {
  if (ended.status !== 'completed')
    throw new Error(`run ${ended.run} ended as ${ended.status}: bin/pgr show ${ended.run}`);
  const after = await countOrders(lab.write.url);
  const kept = await newestKeptOrder(lab.write.url, accident.lastGoodTime);
  say(`orders now: ${describeData(after)} (before the mistake: ${describeData(before)})`);
  say(
    `newest order of the kept interval: id ${kept.id} at ${kept.at}, ${String(kept.ordersSinceStart)} orders were written after the lab came up and are there`,
  );
  for (const line of promoted.plan?.summary ?? []) if (line.startsWith('given up')) say(line);
  const { rtoSeconds } = ended.measured;
  if (rtoSeconds !== undefined) say(`recovery time (request to verified): ${rtoSeconds.toFixed(1)} s`);
  const outage = promoted.measured.writeOutageMs;
  if (outage !== undefined) say(`write outage of the cut-over: ${(outage / 1000).toFixed(1)} s`);
  await pgr.show(['audit', 'verify', ended.run]);
  say(
    `ui      ${lab.temporal.ui}\nrecord  bin/pgr audit show ${ended.run}\nreport  bin/pgr report ${ended.run}\nundo    bin/pgr undo lab/change`,
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
