/**
 * Servers that `lab up` must not start: a run that is under way has stopped them on purpose, and starting them behind its back would undo its
 * fence. The run starts them itself when it goes on.
 */
import { FLIP_DB } from '../shared/runbooks/flip-db.js';
import { PROMOTE } from '../shared/runbooks/promote.js';
import { REBUILD_STANDBY } from '../shared/runbooks/rebuild-standby.js';
import { UNDO_REBUILD } from '../shared/runbooks/undo-rebuild.js';
import { UNDO } from '../shared/runbooks/undo.js';
import type { Runbook } from '../shared/runbook.js';

/** `target`: the node that a rebuild is about. */
export type OpenChange = { runbook: string; step: string; target: string };
/** `isStandby`: its data have a standby.signal. `isFenced`: a flip has fenced it and has not taken the fence away. */
export type NodeFacts = { name: string; isStandby: boolean; isFenced: boolean };

type Rule = { runbook: Runbook; from: string; until: string; holds: (node: NodeFacts, change: OpenChange) => boolean };

const all = (): boolean => true;
const primary = ({ isStandby }: NodeFacts): boolean => !isStandby;
const standby = ({ isStandby }: NodeFacts): boolean => isStandby;
const target = ({ name }: NodeFacts, change: OpenChange): boolean => change.target === '' || name === change.target;

const RULES: readonly Rule[] = [
  { runbook: PROMOTE, from: 'fence-old-cluster', until: 'start-primary', holds: primary },
  { runbook: PROMOTE, from: 'fence-old-cluster', until: 'rebuild-standby', holds: standby },
  { runbook: UNDO, from: 'fence-new-cluster', until: 'start-primary', holds: primary },
  { runbook: UNDO, from: 'fence-new-cluster', until: 'start-standbys', holds: standby },
  // Only the activity knows which of the two may write. Afterwards the old primary is the one with the fence, and the new one may come back.
  { runbook: FLIP_DB, from: 'fence-old-primary', until: 'flip', holds: all },
  { runbook: REBUILD_STANDBY, from: 'stop-standby', until: 'start-standby', holds: target },
  { runbook: UNDO_REBUILD, from: 'stop-standby', until: 'start-standby', holds: target },
];

/** Pure: whether this server is left alone. A fenced one always is; an unknown step of a known runbook leaves both to the run. */
export function isLeftToTheRun(change: OpenChange | null, node: NodeFacts): boolean {
  if (node.isFenced) return true;
  const rules = RULES.filter(({ runbook }) => runbook.name === change?.runbook);
  if (change === null) return false;
  return rules.some((rule) => {
    const position = (id: string): number => rule.runbook.steps.findIndex((step) => step.id === id);
    const at = position(change.step);
    if (at < 0) return true;
    return at >= position(rule.from) && at <= position(rule.until) && rule.holds(node, change);
  });
}
