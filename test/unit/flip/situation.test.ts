/**
 * The table of a flip's idempotency, over every situation that there is. Verified: (1) nothing makes a second primary; (2) behind the point of no return
 * the old primary is never started; (3) what no attempt of this flip began is never undone; (4) a third answer (unknown) never counts as good.
 */
import fc from 'fast-check';

import type { FlipNote } from '../../../activities/postgres/flip/flip-note.js';
import {
  decide,
  type CandidateState,
  type OldState,
  type Situation,
} from '../../../activities/postgres/flip/situation.js';
import type { FlipPlan } from '../../../shared/contracts/flip.js';

const plan = (mode: 'stop' | 'cut'): FlipPlan =>
  ({ mode, from: { name: 'dallas', timeline: 1 }, to: { name: 'chicago', timeline: 1 } }) as FlipPlan;
const noteOf = (state: FlipNote['state']): FlipNote => ({ state }) as FlipNote;

const OLD: OldState[] = ['primary', 'stopping', 'clean', 'crashed', 'standby', 'unknown', 'elsewhere'];
const CANDIDATE: CandidateState[] = [
  { is: 'standby', replayLsn: null },
  { is: 'primary', timeline: 1 },
  { is: 'primary', timeline: 2 },
  { is: 'unreachable' },
];
const everything = fc.record({
  situation: fc.record<Situation>({ old: fc.constantFrom(...OLD), candidate: fc.constantFrom(...CANDIDATE) }),
  note: fc.constantFrom(null, noteOf('begun'), noteOf('promoting'), noteOf('flipped')),
  mode: fc.constantFrom('stop' as const, 'cut' as const),
});

const always = (holds: (seen: { old: OldState; candidate: CandidateState; state: string; act: string }) => boolean) => {
  fc.assert(
    fc.property(everything, ({ situation, note, mode }) =>
      holds({ ...situation, state: note?.state ?? 'none', act: decide(situation, note, plan(mode)).act }),
    ),
    { numRuns: 2_000 },
  );
};

test('the candidate is promoted only when the old primary does not accept writes', () => {
  always(({ old, act }) => !(['prove', 'promote'].includes(act) && ['primary', 'unknown'].includes(old)));
});

test('the old primary is started again only before the promotion was ordered, and never beside a candidate that accepts writes', () => {
  always(({ candidate, state, act }) => act !== 'undo' || (state === 'begun' && candidate.is !== 'primary'));
});

test('a flip of which nothing was begun only runs, goes on from what somebody else stopped in order, or refuses', () => {
  always(({ state, act, old }) => state !== 'none' || act !== 'undo' || old === 'primary');
  expect(decide({ old: 'standby', candidate: CANDIDATE[0]! }, null, plan('stop'))).toMatchObject({
    act: 'refuse',
    type: 'PreconditionFailed',
    why: 'dallas is a standby now, and not because of this flip',
  });
});

test('two nodes that accept writes are completed only when this flip ordered the promotion', () => {
  always(
    ({ old, candidate, state, act }) =>
      !(old === 'primary' && candidate.is === 'primary' && act !== 'refuse') ||
      ['promoting', 'flipped'].includes(state),
  );
});

test('nobody knows whether the old primary runs: nothing is promoted and nothing is started', () => {
  always(
    ({ old, candidate, state, act }) =>
      old !== 'unknown' ||
      candidate.is !== 'standby' ||
      state === 'promoting' ||
      state === 'flipped' ||
      act === 'refuse',
  );
});
