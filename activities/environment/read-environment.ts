import type { EnvironmentConfig } from '../../config/schema.js';
import type { EnvironmentFacts, GatePolicy } from '../../shared/contracts/environment.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf, sandboxHostOf } from '../lib/environment-config.js';

/** One approval, by anybody, for a day: what holds where the config says nothing (the same defaults as in its schema). */
const DEFAULT_POLICY = {
  required: 1,
  from: [],
  notRequester: false,
  expiresInSeconds: 86_400,
  remindEverySeconds: 900,
} satisfies Omit<GatePolicy, 'identity'>;

/** Activity `readEnvironment`: what a workflow may know of an environment; no secret and no address with a password. */
export function createReadEnvironment({ config }: Pick<ActivityDeps, 'config'>) {
  return function readEnvironment({ environment: name }: { environment: string }): Promise<EnvironmentFacts> {
    // In a promise chain, so that an unknown environment is a rejected promise like every other failure of an activity.
    return Promise.resolve().then(() => {
      const environment = environmentOf(config, name);
      return {
        environment: name,
        nodes: environment.nodes.map((node) => ({ name: node.name, host: node.host })),
        apps: environment.apps.map((app) => ({ name: app.name, host: app.host })),
        sandboxHost: sandboxHostOf(environment),
        sandboxTtlSeconds: environment.sandbox.ttl,
        ...controllerHostOf(environment),
        approvals: policiesOf(environment),
        defaultPolicy: { ...DEFAULT_POLICY, identity: environment.identity.kind },
        ui: config.temporal.ui ?? null,
        namespace: config.temporal.namespace ?? 'default',
      };
    });
  };
}

function controllerHostOf({ backups }: EnvironmentConfig): Pick<EnvironmentFacts, 'controllerHost'> {
  return backups.kind === 'databasus' && backups.controller !== undefined
    ? { controllerHost: backups.controller.host }
    : {};
}

function policiesOf({ approvals, identity }: EnvironmentConfig): Record<string, GatePolicy> {
  return Object.fromEntries(
    Object.entries(approvals).map(([gate, policy]) => [
      gate,
      {
        required: policy.required,
        from: policy.from,
        notRequester: policy.notRequester,
        expiresInSeconds: policy.expiresIn,
        remindEverySeconds: policy.remindEvery,
        identity: identity.kind,
      },
    ]),
  );
}
