// Writes docs/runbooks from the built step tables.
import { writeFile } from 'node:fs/promises';

import { ALL_RUNBOOKS } from '../dist/shared/all-runbooks.js';
import { renderRunbookPage } from '../dist/shared/runbook-page.js';

for (const runbook of ALL_RUNBOOKS) {
  await writeFile(new URL(`../docs/runbooks/${runbook.name}.md`, import.meta.url), renderRunbookPage(runbook));
}
