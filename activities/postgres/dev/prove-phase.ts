/**
 * Proves the foreign keys of a database that is in use already: they hold for every new row from the beginning, and reading all old ones is what nobody
 * should wait for. Those that point to deferred rows wait for `--deferred`.
 */
import { readTocOf } from './archive.js';
import { contentOf } from './content.js';
import { proveAll } from './deferred-phase.js';
import { inSessions, type Outcome, type Phase } from './phase.js';
import { only } from './schema-phase.js';
import { readProblems } from './state.js';

export async function provePhase(phase: Phase): Promise<Outcome> {
  const { plan, names, file } = phase;
  if (file.whole) return { outcome: 'already-done' };
  const { post } = contentOf(await readTocOf(file.path), { deferred: plan.deferred });
  return inSessions(phase, names.current, plan.jobs, async (clients) => {
    await proveAll(
      clients,
      post.filter(({ unproven }) => !unproven),
    );
    return { problems: await readProblems(only(clients[0])) };
  });
}
