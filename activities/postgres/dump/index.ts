/** The activities around a dump. */
export { createHandOverSandbox } from './hand-over.js';
export { createPlanDump } from './plan-dump.js';
export { createPlanDumpPromotion } from './plan-dump-promotion.js';
export { createPrepareDumpSandbox } from './prepare-dump-sandbox.js';
export { createRestoreDump } from './restore-dump.js';
export { createSwapInDump } from './swap-in-dump.js';
export { createVerifyDump } from './verify-dump.js';
