/** A recovery whose backup store turns out to be broken goes on from the next one that reaches the target, when people approve. */
import type { EnvironmentFacts } from '../../shared/contracts/environment.js';
import type { RecoveryPlan, StoreChoice } from '../../shared/contracts/plan.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { FailureType } from '../../shared/failures.js';
import type { PitrStep } from '../../shared/runbooks/pitr.js';
import { formatSeconds, recoveryPlanView } from '../../shared/run-state-plan.js';
import { readFailure, type FailureFacts } from './failures.js';
import { policyFor } from './policy.js';
import type { Run } from './run.js';

/** What says that a store cannot give what its lists promised. */
const BROKEN: readonly FailureType[] = [
  'BackupCorrupt',
  'WalCorrupt',
  'NotFound',
  'StoreUnavailable',
  'CredentialsRefused',
  'RecoveryStopped',
];

type Serving = Extract<StoreChoice, { reaches: true }>;

export type Stores = {
  /** For {@link StepOptions.leave} of the steps that read from a store. */
  leave: (facts: FailureFacts) => Promise<boolean>;
  /** The plan from the store that was approved. */
  plan: RecoveryPlan;
};

type Work = {
  facts: EnvironmentFacts;
  /** Drops the sandbox of the broken store. */
  discard: () => Promise<unknown>;
  planFrom: (store: string) => Promise<RecoveryPlan>;
};

/** `plan` is the one that the recovery begins with. A store that people declined is not offered again. */
export function otherStores(run: Run<PitrStep>, plan: RecoveryPlan, work: Work): Stores {
  const declined = new Set<string>();
  const stores: Stores = {
    plan,
    leave: async (facts) => {
      const broken = stores.plan.store;
      if (broken === undefined || !BROKEN.includes(facts.code)) return false;
      let known = without(stores.plan.stores ?? [], broken, facts);
      for (let next = fastest(known, declined); next !== null; next = fastest(known, declined)) {
        const { store } = next;
        const changed = await run.step('approve-store', () => change(run, work, { broken, facts, store }));
        if (changed === 'rejected') {
          declined.add(store);
          return false;
        }
        if (!('code' in changed)) {
          stores.plan = { ...changed, stores: known };
          run.setPlan(recoveryPlanView(stores.plan), stores.plan);
          return true;
        }
        known = without(known, store, changed);
      }
      return false;
    },
  };
  return stores;
}

/** True when another store could serve should the chosen one turn out to be broken. */
export function hasOtherStore({ store, stores = [] }: RecoveryPlan): boolean {
  return fastest(stores, new Set(store === undefined ? [] : [store])) !== null;
}

/** The same stores, of which one has shown that it cannot serve. */
function without(stores: readonly StoreChoice[], store: string, { code, message }: FailureFacts): StoreChoice[] {
  return stores.map((one) =>
    one.store === store ? { store, kind: one.kind, reaches: false, code, why: message } : one,
  );
}

function fastest(stores: readonly StoreChoice[], except: ReadonlySet<string>): Serving | null {
  const left = stores.filter((one): one is Serving => one.reaches && !except.has(one.store));
  return left.reduce<Serving | null>((best, one) => (best === null || one.seconds < best.seconds ? one : best), null);
}

type Change = { broken: string; facts: FailureFacts; store: string };

/** `rejected`: people said no, and the run waits at the step that failed, as without another store. A failure: that store cannot serve any more. */
async function change(
  run: Run<PitrStep>,
  work: Work,
  { broken, facts, store }: Change,
): Promise<RecoveryPlan | FailureFacts | 'rejected'> {
  const plan = await work.planFrom(store).catch((error: unknown) => readFailure(error));
  if ('code' in plan) {
    run.note(`store ${store} cannot serve either`, { code: plan.code, message: plan.message });
    return plan;
  }
  const evidence: EvidenceCheck[] = [
    {
      check: `store ${broken}`,
      expected: 'gives what its lists promise',
      actual: `${facts.code}: ${facts.message}`,
      ok: false,
    },
    { check: `store ${store}`, expected: 'reaches the target', actual: describe(plan), ok: true },
  ];
  const policy = policyFor(work.facts, 'other-store');
  const statement = `the sandbox of store ${broken} is discarded and the recovery begins again from store ${store}`;
  const request = { gate: 'other-store', planHash: plan.hash, evidence, policy, statement };
  if ((await run.openGate('approve-store', request)) === 'rejected') return 'rejected';
  await work.discard();
  return plan;
}

function describe(plan: RecoveryPlan): string {
  const { kept } = plan.boundary;
  const upTo = kept === null ? 'no transaction' : `transaction ${kept.xid} at ${kept.time}`;
  return `keeps up to ${upTo}; about ${formatSeconds(plan.estimate.totalSeconds)}`;
}
