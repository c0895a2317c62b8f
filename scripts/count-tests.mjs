// The closing line of CI, from jest's own result. A group of which every test was skipped is a failure: this machine can run them all.
import { readFileSync } from 'node:fs';
import path from 'node:path';

const [file, status] = process.argv.slice(2);
const result = JSON.parse(readFileSync(file, 'utf8'));

const groups = new Map();
for (const suite of result.testResults) {
  const name = path.relative(process.cwd(), suite.name).split(path.sep)[1] ?? '?';
  const group = groups.get(name) ?? { ran: 0, skipped: 0 };
  for (const test of suite.assertionResults)
    test.status === 'pending' || test.status === 'todo' ? group.skipped++ : group.ran++;
  groups.set(name, group);
}

let failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
for (const [name, group] of [...groups].sort()) {
  console.log(`${name}: ${group.ran} ran, ${group.skipped} skipped`);
  if (group.ran === 0) {
    console.log(`group ${name} ran no test`);
    failed++;
  }
}
if (status !== '0' && failed === 0) failed = 1;
console.log(
  `tests: ${result.numPassedTests} passed, ${failed} failed, ${result.numPendingTests + result.numTodoTests} skipped`,
);
process.exit(failed === 0 ? 0 : 1);
