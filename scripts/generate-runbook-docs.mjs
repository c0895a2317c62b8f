// Writes docs/runbooks from the built step tables.
import { writeFile } from 'node:fs/promises';

import { renderRunbookPage } from '../dist/shared/runbook-page.js';
import { PITR } from '../dist/shared/runbooks/pitr.js';
import { PROMOTE } from '../dist/shared/runbooks/promote.js';
import { UNDO } from '../dist/shared/runbooks/undo.js';

for (const runbook of [PITR, PROMOTE, UNDO]) {
  await writeFile(new URL(`../docs/runbooks/${runbook.name}.md`, import.meta.url), renderRunbookPage(runbook));
}
