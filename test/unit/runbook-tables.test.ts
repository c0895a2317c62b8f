/**
 * Scenario: the tables are the single source of plan, progress, docs and record.
 * Verified: what each row promises: approval above every change, an undo or the reason why there is none, and a workflow that uses it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ALL_RUNBOOKS } from '../../shared/all-runbooks.js';
import type { Runbook, RunbookStep } from '../../shared/runbook.js';

const LIB = join(process.cwd(), 'workflows', 'lib');
const libFiles = readdirSync(LIB);
const names = ALL_RUNBOOKS.map((runbook) => runbook.name);
const textOf = (file: string): string => readFileSync(join(LIB, file), 'utf8');

/** Steps that more than one runbook takes. */
const sharedSteps = libFiles.filter(
  (file) => !names.some((name) => file.startsWith(`${name}-`)) && /\.step\(/.test(textOf(file)),
);

/** All workflow sources of a runbook: its own file, what it alone uses below lib/, and the shared steps that these take. */
function sourceOf(name: string): string {
  const own = [
    readFileSync(join(process.cwd(), 'workflows', `${name}.ts`), 'utf8'),
    ...libFiles.filter((file) => file.startsWith(`${name}-`)).map(textOf),
  ].join('\n');
  const shared = sharedSteps.filter((file) => own.includes(`/${file.replace('.ts', '.js')}'`));
  return [own, ...shared.map(textOf)].join('\n');
}

test('every table in shared/runbooks is walked here', () => {
  const files = readdirSync(join(process.cwd(), 'shared', 'runbooks')).map((file) => file.replace('.ts', ''));
  expect(ALL_RUNBOOKS.map((runbook) => runbook.name).sort()).toEqual(files.sort());
});

describe.each(ALL_RUNBOOKS.map((runbook): [string, Runbook] => [runbook.name, runbook]))('%s', (name, runbook) => {
  const source = sourceOf(name);
  const ids = runbook.steps.map((step) => step.id);

  test('has each id once, written as verb-noun', () => {
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });

  test('has a gate above the first change, and no change in a gate row', () => {
    const gate = runbook.steps.findIndex((step) => step.gate !== undefined);
    const firstChange = runbook.steps.findIndex((step) => step.changes);
    // What touches no environment needs nobody's approval.
    if (name !== 'restore-dev') expect(gate).toBeGreaterThanOrEqual(0);
    // A runbook that leaves production alone has a gate before what it hands to people.
    if (firstChange >= 0) expect(firstChange).toBeGreaterThan(gate);
    expect(runbook.steps.filter((step) => step.gate !== undefined && step.changes)).toEqual([]);
  });

  test.each(ids)('step %s is used by the workflow, once', (id) => {
    expect(source.match(new RegExp(`\\.step\\(\\s*'${id}'`, 'g'))).toHaveLength(1);
  });

  test('goes through the steps in the order of the table', () => {
    const wholeRunbook = source.match(/\.step\(\s*'[a-z-]+'/g)?.length;
    expect(wholeRunbook).toBe(ids.length);
  });

  test('each change names its undo or says why there is none', () => {
    for (const step of runbook.steps.filter(({ changes }) => changes)) expectUndo(step);
  });

  function expectUndo(step: RunbookStep): void {
    const undo = step.undo;
    expect(undo).toBeDefined();
    if (undo === undefined) return;
    if ('none' in undo) expect(undo.none.length).toBeGreaterThan(10);
    else expect(source).toContain(`step: '${undo.step}'`);
  }

  test('offers skip exactly where the table allows it', () => {
    const skippable = runbook.steps.filter((step) => step.skippable === true).length;
    expect(source.match(/whenSkipped:/g)?.length ?? 0).toBe(skippable);
  });
});
