/** The workflow functions, nothing else: this is what workers bundle. The names are stored in histories. */
export { audit } from './audit.js';
export { check } from './check-environment.js';
export { flipDb } from './flip-db.js';
export { listSnapshots } from './list-snapshots.js';
export { pitr } from './pitr.js';
export { promote } from './promote.js';
export { pruneSnapshots } from './prune-snapshots.js';
export { rebuildStandby } from './rebuild-standby.js';
export { restoreDev } from './restore-dev.js';
export { restoreDump } from './restore-dump.js';
export { sandboxKeeper } from './sandbox-keeper.js';
export { takeBase } from './take-base.js';
export { topology } from './topology.js';
export { undoRebuild } from './undo-rebuild.js';
export { undo } from './undo.js';
export { window } from './window.js';
