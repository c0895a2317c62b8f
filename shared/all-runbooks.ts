import { DUMP_PROMOTION } from './runbooks/dump-promotion.js';
import { FLIP_DB } from './runbooks/flip-db.js';
import { PITR } from './runbooks/pitr.js';
import { PROMOTE } from './runbooks/promote.js';
import { PRUNE_SNAPSHOTS } from './runbooks/prune-snapshots.js';
import { REBUILD_STANDBY } from './runbooks/rebuild-standby.js';
import { RESTORE_DEV } from './runbooks/restore-dev.js';
import { RESTORE_CONTROLLER } from './runbooks/restore-controller.js';
import { RESTORE_DUMP } from './runbooks/restore-dump.js';
import { UNDO_REBUILD } from './runbooks/undo-rebuild.js';
import { UNDO } from './runbooks/undo.js';
import type { Runbook } from './runbook.js';

/** Every runbook table: gates that a config may name, the view of a record, the docs. Workflows import their own table only. */
export const ALL_RUNBOOKS: readonly Runbook[] = [
  PITR,
  PROMOTE,
  UNDO,
  FLIP_DB,
  REBUILD_STANDBY,
  UNDO_REBUILD,
  PRUNE_SNAPSHOTS,
  RESTORE_DUMP,
  RESTORE_DEV,
  RESTORE_CONTROLLER,
  DUMP_PROMOTION,
];
