import { isLeftToTheRun, type NodeFacts } from '../../../lab/nodes-to-leave.js';

const dallas: NodeFacts = { name: 'dallas', isStandby: false, isFenced: false };
const chicago: NodeFacts = { name: 'chicago', isStandby: true, isFenced: false };
/** Whether the primary and the standby are left to a run that stands at `step`. */
const left = (runbook: string, step: string, target = '') =>
  [dallas, chicago].map((node) => isLeftToTheRun({ runbook, step, target }, node));

describe('servers that a run has stopped on purpose', () => {
  it('are started when no change is under way', () => {
    expect([dallas, chicago].map((node) => isLeftToTheRun(null, node))).toEqual([false, false]);
    expect(left('pitr', 'replay-wal')).toEqual([false, false]);
  });

  it('are started while a promotion has not fenced them yet: it needs the live primary', () => {
    for (const step of ['check-promotion', 'approve-promote', 'stop-apps', 'capture-tail']) {
      expect(left('promote', step)).toEqual([false, false]);
    }
  });

  it('stay down between the fence and the start of the new primary', () => {
    for (const step of ['fence-old-cluster', 'keep-old-data', 'swap-in', 'end-recovery', 'start-primary']) {
      expect(left('promote', step)).toEqual([true, true]);
    }
  });

  it('leave the standby to the run until it was rebuilt, whichever node that is', () => {
    expect(left('promote', 're-baseline')).toEqual([false, true]);
    expect(left('promote', 'rebuild-standby')).toEqual([false, true]);
    expect(left('promote', 'report')).toEqual([false, false]);
    const flipped = { ...dallas, isStandby: true };
    expect(isLeftToTheRun({ runbook: 'promote', step: 're-baseline', target: '' }, flipped)).toBe(true);
  });

  it('follow the table of undo, and an unknown step is left to its run', () => {
    expect(left('undo', 'fence-new-cluster')).toEqual([true, true]);
    expect(left('undo', 'start-apps')).toEqual([false, false]);
    expect(left('promote', 'no-such-step')).toEqual([true, true]);
  });

  it('stay down while a flip decides who writes, and the fenced one until it was rejoined', () => {
    expect(left('flip-db', 'approve-flip')).toEqual([false, false]);
    for (const step of ['fence-old-primary', 'approve-fence', 'flip'])
      expect(left('flip-db', step)).toEqual([true, true]);
    const fenced = { ...dallas, isFenced: true };
    for (const step of ['verify-writes', 'verify-archive', 'rejoin-old-primary', 'report']) {
      expect(left('flip-db', step)).toEqual([false, false]);
      expect(isLeftToTheRun({ runbook: 'flip-db', step, target: '' }, fenced)).toBe(true);
    }
    expect(isLeftToTheRun(null, fenced)).toBe(true);
  });

  it('leave a standby to its rebuild and to the undo of that, and never the node that it is rebuilt from', () => {
    for (const step of ['stop-standby', 'take-safety-copy', 'copy-data', 'start-standby']) {
      expect(left('rebuild-standby', step, 'chicago')).toEqual([false, true]);
      expect(left('rebuild-standby', step, 'dallas')).toEqual([true, false]);
    }
    expect(left('rebuild-standby', 'approve-wipe', 'chicago')).toEqual([false, false]);
    expect(left('undo-rebuild', 'return-safety-copy', 'chicago')).toEqual([false, true]);
    expect(left('undo-rebuild', 'check-undo', 'chicago')).toEqual([false, false]);
  });
});
