import type { EnvironmentFacts } from '../../shared/contracts/environment.js';
import type { ListSnapshotsResult } from '../../shared/contracts/runs.js';
import { interactive, interactiveOnHost } from './activity-proxies.js';
import { readFailure } from './failures.js';

/** All safety copies that the hosts of an environment have, oldest first; those of a host that does not answer are unknown, not absent. */
export async function readSafetyCopies(
  environment: string,
): Promise<ListSnapshotsResult & { facts: EnvironmentFacts }> {
  const facts = await interactive.readEnvironment({ environment });
  const answers = await Promise.all(
    facts.nodes.map(async ({ name: node, host }) => {
      try {
        return {
          copies: (await interactiveOnHost(host).listSafetyCopies({ environment, node })).copies,
          unanswered: [],
        };
      } catch (error) {
        const { code, message } = readFailure(error);
        return { copies: [], unanswered: [{ node, host, why: `${code}: ${message}` }] };
      }
    }),
  );
  const copies = answers
    .flatMap((answer) => answer.copies)
    .sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
  return { facts, copies, unanswered: answers.flatMap((answer) => answer.unanswered) };
}
