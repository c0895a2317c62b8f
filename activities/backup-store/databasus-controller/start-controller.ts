/** The container of the controller: found or created, started, healthy, and with the key that was placed. */
import type { ControllerStepInput, StartControllerResult } from '../../../shared/contracts/controller.js';
import type { ContainerEngine, SeenContainer } from '../../lib/containers.js';
import { describeFailure } from '../../lib/exec.js';
import { knownFailure, stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { pollUntil } from '../../lib/poll.js';
import type { Http } from '../databasus-api/http.js';
import { isHealthy } from './admin-api.js';
import { createControllerArgs, startControllerArgs } from './container-commands.js';
import { readKeyFingerprint, requireSameKey } from './key-file.js';
import { findContainer, requireOurContainer, strangerAt } from './look.js';
import { reachController, type ControllerDeps, type Reach } from './reach.js';

export const FAULT_CREATED = 'controller:created';
export const FAULT_STARTED = 'controller:started';

/** A fresh host pulls the image first. */
const CREATE_TIMEOUT_MS = 1_800_000;
const START_TIMEOUT_MS = 120_000;
/** A controller starts its own database first; seconds, measured, on a machine at rest. */
const HEALTHY_TIMEOUT_MS = 300_000;
const LOOK_MS = 500;

/** Activity `startController`. */
export function createStartController(deps: ControllerDeps, healthyTimeoutMs = HEALTHY_TIMEOUT_MS) {
  return async function startController(input: ControllerStepInput): Promise<StartControllerResult> {
    const began = Date.now();
    const reach = await reachController(deps, input.environment);
    const { dataDir, container } = reach.settings.controller;
    const requireKey = async (): Promise<void> => {
      requireSameKey(dataDir, await readKeyFingerprint(dataDir), input.plan.key.fingerprint);
    };
    // Before a controller starts: without its key there it would make another.
    await requireKey();
    const outcome = await startContainer(reach, input);
    await waitUntilHealthy(reach, healthyTimeoutMs);
    await requireKey();
    return { outcome, container, seconds: (Date.now() - began) / 1000 };
  };
}

async function startContainer(reach: Reach, input: ControllerStepInput): Promise<StartControllerResult['outcome']> {
  const { engine, settings } = reach;
  const { controller } = settings;
  const before = await findContainer(engine, controller.container);
  // Since the plan another one may have come up there; ours would be set up beside it, or what follows would be done to it.
  if (before?.status !== 'running') await refuseStranger(reach);
  if (before === null) await create(reach, input);
  const made = before ?? (await findContainer(engine, controller.container));
  if (made === null) throw stepFailure('CommandFailed', `container ${controller.container} is gone again`);
  await requireOurContainer(made, controller);
  if (made.status === 'running') return 'already-running';
  await start(engine, made);
  return before === null ? 'created' : 'started';
}

async function refuseStranger({ http, settings }: Reach): Promise<void> {
  if ((await askHealth(http)) === null) throw strangerAt(settings.store.url, settings.controller);
}

async function create({ engine, settings }: Reach, { environment, run }: ControllerStepInput): Promise<void> {
  const { controller } = settings;
  const said = await engine.run(createControllerArgs({ ...controller, environment, run }), CREATE_TIMEOUT_MS);
  faultPoint(FAULT_CREATED);
  // The exit code is no proof: another attempt may have made it a moment ago.
  if (said.exitCode === 0 || (await findContainer(engine, controller.container)) !== null) return;
  throw stepFailure('CommandFailed', `container ${controller.container} was not made: ${describeFailure(said)}`, {
    hint: 'the image must be there or be pulled, and the port free; then `pgr retry`',
  });
}

async function start(engine: ContainerEngine, { name }: SeenContainer): Promise<void> {
  const said = await engine.run(startControllerArgs(name), START_TIMEOUT_MS);
  faultPoint(FAULT_STARTED);
  const after = await findContainer(engine, name);
  if (after?.status === 'running') return;
  throw stepFailure(
    'CommandFailed',
    `container ${name} does not run: it is ${after?.status ?? 'gone'}${said.exitCode === 0 ? '' : `; ${describeFailure(said)}`}`,
    { hint: `look at \`docker logs ${name}\`, free its port, then \`pgr retry\`` },
  );
}

async function waitUntilHealthy({ http, engine, settings }: Reach, timeoutMs: number): Promise<void> {
  let last = 'it was not asked';
  const healthy = await pollUntil(
    async () => {
      const answer = await askHealth(http);
      last = answer ?? last;
      return answer === null ? true : null;
    },
    { timeoutMs, everyMs: LOOK_MS },
  );
  if (healthy === true) return;
  const { container } = settings.controller;
  const seen = await findContainer(engine, container);
  throw stepFailure(
    'StoreUnavailable',
    `the controller at ${settings.store.url} is not healthy after ${String(timeoutMs / 1000)} s: ${last}; container ${container} is ${seen?.status ?? 'gone'}`,
    { hint: `look at \`docker logs ${container}\` and at the published port, then \`pgr retry\`` },
  );
}

/** Null when it is healthy, else what it says. */
async function askHealth(http: Http): Promise<string | null> {
  try {
    return (await isHealthy(http)) ? null : 'it answers that it is not healthy';
  } catch (error) {
    const known = knownFailure(error);
    if (known === null) throw error;
    return known.message;
  }
}
