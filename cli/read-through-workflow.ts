import { compactUtc } from '../shared/ids.js';
import type { CliContext } from './context.js';
import { requireEnvironment } from './environments.js';
import { uniqueSuffix } from './unique-suffix.js';

/** Reading the WAL of an archive far away takes time; nobody waits longer than this for an answer. */
const DEADLINE_MS = 180_000;

/** Asks a short workflow of an environment that only reads. */
export async function readThroughWorkflow(
  context: CliContext,
  workflow: 'window' | 'check' | 'listSnapshots' | 'topology' | 'notifyTest',
  env: string,
  input: unknown,
): Promise<unknown> {
  await requireEnvironment(context, env);
  const client = await context.client();
  const id = `${env}/${workflow}/${compactUtc(context.now().toISOString())}-${uniqueSuffix()}`;
  const summary = `${workflow} of ${env}`;
  return client.execute(
    { workflow, id, input, environment: env, requestedBy: 'pgr', reason: '', summary },
    DEADLINE_MS,
  );
}
