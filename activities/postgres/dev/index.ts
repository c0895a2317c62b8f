/** The activities around a developer's database. */
export { createFetchDevDump } from './fetch-dump.js';
export { createPlanDevRestore } from './plan-dev.js';
export { createPrepareDevTarget } from './prepare-target.js';
export { createRunDevPhase } from './run-phase.js';
