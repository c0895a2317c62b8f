/**
 * Scenario: workflow code runs in a sandbox without Node.
 * Verified: nothing in any chain of imports reaches a Node module or a server package; the names of the functions are the stored ones.
 */
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { join } from 'node:path';

import * as workflows from '../../workflows/index.js';

jest.setTimeout(60_000);

test('the workflows bundle without Node modules, and stay small', async () => {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(process.cwd(), 'workflows', 'index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  expect(code).not.toMatch(/require\(["'](node:|fs|crypto|pg|execa)/);
  // zod alone would add a megabyte; the inlined source map makes up most of this.
  expect(code.length).toBeLessThan(4_000_000);
});

test('the workflow functions have the names that histories and the command line use', () => {
  expect(Object.keys(workflows).sort()).toEqual([
    'audit',
    'check',
    'flipDb',
    'listSnapshots',
    'notifyTest',
    'pitr',
    'promote',
    'promoteDump',
    'pruneSnapshots',
    'rebuildStandby',
    'restoreController',
    'restoreDev',
    'restoreDump',
    'sandboxKeeper',
    'takeBase',
    'tellPeople',
    'topology',
    'undo',
    'undoRebuild',
    'window',
  ]);
});
