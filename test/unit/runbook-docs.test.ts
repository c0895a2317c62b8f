import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { renderRunbookPage } from '../../shared/runbook-page.js';
import { PITR } from '../../shared/runbooks/pitr.js';
import { PROMOTE } from '../../shared/runbooks/promote.js';
import { UNDO } from '../../shared/runbooks/undo.js';

describe.each([PITR, PROMOTE, UNDO])('docs of runbook $name', (runbook) => {
  test('say what its table says (npm run docs)', async () => {
    const page = await readFile(path.join(__dirname, '../../docs/runbooks', `${runbook.name}.md`), 'utf8');
    expect(page).toBe(renderRunbookPage(runbook));
  });
});
