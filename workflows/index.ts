/** The workflow functions, nothing else: this is what workers bundle. The names are stored in histories. */
export { audit } from './audit.js';
export { check } from './check-environment.js';
export { pitr } from './pitr.js';
export { promote } from './promote.js';
export { sandboxKeeper } from './sandbox-keeper.js';
export { takeBase } from './take-base.js';
export { undo } from './undo.js';
export { window } from './window.js';
