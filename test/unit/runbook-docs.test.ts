import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { ALL_RUNBOOKS } from '../../shared/all-runbooks.js';
import { renderRunbookPage } from '../../shared/runbook-page.js';

describe.each(ALL_RUNBOOKS)('docs of runbook $name', (runbook) => {
  test('say what its table says (npm run docs)', async () => {
    const page = await readFile(path.join(__dirname, '../../docs/runbooks', `${runbook.name}.md`), 'utf8');
    expect(page).toBe(renderRunbookPage(runbook));
  });
});
