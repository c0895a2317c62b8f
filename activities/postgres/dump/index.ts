/** The activities around a dump. */
export { createHandOverSandbox } from './hand-over.js';
export { createPlanDump } from './plan-dump.js';
export { createPrepareDumpSandbox } from './prepare-dump-sandbox.js';
export { createRestoreDump } from './restore-dump.js';
export { createVerifyDump } from './verify-dump.js';
