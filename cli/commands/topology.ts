import type { Command } from 'commander';

import type { TopologyRunInput } from '../../shared/contracts/runs.js';
import type { Topology } from '../../shared/contracts/topology.js';
import type { CliContext } from '../context.js';
import { readThroughWorkflow } from '../read-through-workflow.js';
import { createStyle } from '../render/style.js';
import { renderTopology } from '../render/topology.js';
import { withExample } from './options.js';

const EXIT_CONTRADICTIONS = 5;

/** `pgr topology`. */
export function registerTopology(program: Command, context: CliContext): void {
  const command = program
    .command('topology <env>')
    .description(
      'who is who now: nodes, lag, routers, who really takes writes; exit 5 when the answers contradict each other',
    )
    .option('--no-probe', 'ask who would take writes, write nothing (a probe is rolled back)');
  withExample(command, 'pgr topology production').action(async (env: string, flags: { probe: boolean }) => {
    const input: TopologyRunInput = { environment: env, probe: flags.probe };
    const seen = (await readThroughWorkflow(context, 'topology', env, input)) as Topology;
    if (seen.contradictions.length > 0) context.exit(EXIT_CONTRADICTIONS);
    context.result(seen, () =>
      renderTopology(seen, {
        style: createStyle(context.io, context.env),
        columns: context.io.columns,
        probed: flags.probe,
      }),
    );
  });
}
