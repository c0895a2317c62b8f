/**
 * Scenario: somebody without a terminal approves a promotion in the Temporal Web UI, mistyping the code first.
 * Verified: 1. User Metadata shows plan, evidence and how to approve, and a stranger's HTML as text; 2. the text to paste is sent by
 * the first click on Submit; 3. a wrong code is refused with its reason, is on record, and changes nothing; 4. the right code lets the
 * run go on, under the name that was given, to the end.
 */
import type { GateView, PlanView, RunView } from '../../shared/contracts/status.js';
import { TestLab } from '../support/lab.js';
import { findChromium, openBrowser, type Browser } from './chromium.js';
import { RunPage } from './run-page.js';

jest.setTimeout(400_000);

const REASON = 'INC-42: <img src=x onerror=alert(1)> & 1/2 of *orders* gone with --force';

type Accident = { lastGoodTime: string };
type Entry = { body: { kind: string; entry?: string; by?: string; counted?: boolean; why?: string | null } };

/** Gate and plan, which a run that waits for approval has. */
function found({ gate, plan }: RunView): { gate: GateView; plan: PlanView } {
  if (gate === null || plan === null) throw new Error('the run waits for approval without gate or plan');
  return { gate, plan };
}

/** A code as good as the right one, but for a mistyped first letter. */
function otherCode(code: string): string {
  return `${code.startsWith('A') ? 'C' : 'A'}${code.slice(1)}`;
}

const chromium = findChromium();
if (chromium === null) {
  process.stderr.write('test/browser is skipped: no chromium in PATH (install it, or set PGR_TEST_CHROMIUM)\n');
}

(chromium === null ? describe.skip : describe)('approval in the Temporal Web UI', () => {
  let lab: TestLab;
  let browser: Browser;
  let opened: Browser | null = null;
  let page: RunPage;
  let run: string;
  let orders: number;
  let gate: GateView;
  let plan: PlanView;

  beforeAll(async () => {
    lab = await TestLab.up();
    orders = await count();
    const { lastGoodTime } = await lab.json<Accident>(['lab', 'accident', 'delete-without-where']);
    const args = ['pitr', 'lab', '--to', lastGoodTime, '--promote', '--reason', REASON];
    const started = await lab.json<{ run: string; ui: string }>(args);
    run = started.run;
    ({ gate, plan } = found(await lab.waitFor(run, ['waiting-approval'])));
    browser = await openBrowser(chromium ?? '');
    opened = browser;
    page = new RunPage(browser.page);
    await page.open(started.ui);
    await browser.picture('1-timeline');
  });

  afterAll(async () => {
    await opened?.close();
    await TestLab.destroyAll();
  });

  async function count(): Promise<number> {
    const rows = await lab.query<{ n: string }>('select count(*) as n from orders');
    return Number(rows[0]?.n);
  }

  async function timeline(): Promise<number> {
    const rows = await lab.query<{ timeline_id: number }>('select timeline_id from pg_control_checkpoint()');
    return rows[0]?.timeline_id ?? 0;
  }

  test('User Metadata says what is planned, what was proven and how to approve', async () => {
    const details = await page.details('waiting for approval');
    await browser.picture('2-user-metadata');
    expect(details.headings[0]).toBe('Point-in-time recovery of lab: waiting for approval');
    expect(details.code).toContain(`pgr approve ${run} promote --code ${gate.code}`);
    expect(details.code).toContain(`pgr reject ${run} promote --code ${gate.code}`);
    expect(JSON.parse(details.json)).toEqual({ gate: 'promote', code: gate.code, by: 'YOUR NAME', comment: '' });
    expect(gate.evidence.length).toBeGreaterThan(5);
    for (const { check } of gate.evidence) expect(details.text).toContain(`✓ ${check}: `);
    expect(plan.summary.length).toBeGreaterThan(5);
    for (const line of plan.summary) expect(details.text).toContain(line);
    await page.scrollTo('Evidence');
    await browser.picture('3-evidence');
    await page.scrollTo('Steps');
    await browser.picture('4-plan');
  });

  test('text of strangers reads as it was written, and makes no element of the page', async () => {
    const details = await page.details('waiting for approval');
    expect(details.text).toContain(`asked by ana: ${REASON}`);
    expect(details.text).not.toMatch(/&(#\d+|lt|gt|amp);|\\/);
    expect(details.foreignElements).toBe(0);
  });

  test('a wrong code is refused with its reason, and nothing happens', async () => {
    const { json } = await page.details('waiting for approval');
    const wrong = json.replace(gate.code, otherCode(gate.code));
    const { description, dialog } = await page.fillSignal('approve', wrong.replace('YOUR NAME', 'ben'));
    await browser.picture('5-signal');
    expect(description).toContain('Approve the open gate');
    expect(description).toContain('"gate":"promote"');
    await page.submit(dialog);

    const refused = await lab.until(
      () => lab.show(run),
      (view) => (view.gate?.decisions.length ?? 0) > 0,
      30_000,
      (view) => JSON.stringify(view.gate),
    );
    expect(refused.gate?.decisions).toMatchObject([
      { decision: 'approve', by: 'ben', counted: false, why: 'wrong code', approvals: 0, required: 1 },
    ]);
    expect(refused).toMatchObject({ status: 'waiting-approval', child: null, gate: { code: gate.code } });
    expect(await timeline()).toBe(1);
    await page.refreshDetails();
    const { text } = await page.details('refused');
    expect(text).toContain('ben: approve at promote, refused: wrong code');
    await browser.picture('6-refused');
  });

  test('the right code lets the run go on to its end under the name that was given', async () => {
    const { json } = await page.details('waiting for approval');
    const { dialog } = await page.fillSignal('approve', json.replace('YOUR NAME', 'ben'));
    await page.submit(dialog);

    const approved = await lab.until(
      () => lab.show(run),
      (view) => view.status !== 'waiting-approval',
      30_000,
      (view) => view.status,
    );
    expect(approved.gate).toBeNull();
    expect(approved.decisions.map(({ by, counted, why }) => ({ by, counted, why }))).toEqual([
      { by: 'ben', counted: false, why: 'wrong code' },
      { by: 'ben', counted: true, why: null },
    ]);

    await lab.waitFor(run, ['completed'], { timeoutMs: 240_000 });
    expect(await timeline()).toBe(2);
    expect(await count()).toBeGreaterThanOrEqual(orders);
    await browser.page.reload();
    await page.details('completed');
    await browser.picture('7-completed');
    const { entries } = await lab.json<{ entries: Entry[] }>(['audit', 'export', run]);
    const decisions = entries.flatMap(({ body }) => (body.kind === 'decision' ? [body] : []));
    expect(decisions).toMatchObject([
      { entry: 'signal', by: 'ben', counted: false, why: 'wrong code' },
      { entry: 'signal', by: 'ben', counted: true, why: null },
    ]);
  });
});
