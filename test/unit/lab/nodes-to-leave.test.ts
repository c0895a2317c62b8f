import { leftToTheRun } from '../../../lab/nodes-to-leave.js';

const promote = (step: string) => leftToTheRun({ runbook: 'promote', step });

describe('servers that a run has stopped on purpose', () => {
  it('are started when no change is under way', () => {
    expect(leftToTheRun(null)).toEqual({ primary: false, standby: false });
    expect(leftToTheRun({ runbook: 'pitr', step: 'replay-wal' })).toEqual({ primary: false, standby: false });
  });

  it('are started while a promotion has not fenced them yet: it needs the live primary', () => {
    for (const step of ['check-promotion', 'approve-promote', 'stop-apps', 'capture-tail']) {
      expect(promote(step)).toEqual({ primary: false, standby: false });
    }
  });

  it('stay down between the fence and the start of the new primary', () => {
    for (const step of ['fence-old-cluster', 'keep-old-data', 'swap-in', 'end-recovery', 'start-primary']) {
      expect(promote(step)).toEqual({ primary: true, standby: true });
    }
  });

  it('leave the standby to the run until it was rebuilt', () => {
    expect(promote('re-baseline')).toEqual({ primary: false, standby: true });
    expect(promote('rebuild-standby')).toEqual({ primary: false, standby: true });
    expect(promote('report')).toEqual({ primary: false, standby: false });
  });

  it('follow the table of undo, and an unknown step is left to its run', () => {
    expect(leftToTheRun({ runbook: 'undo', step: 'fence-new-cluster' })).toEqual({ primary: true, standby: true });
    expect(leftToTheRun({ runbook: 'undo', step: 'start-apps' })).toEqual({ primary: false, standby: false });
    expect(promote('no-such-step')).toEqual({ primary: true, standby: true });
  });
});
