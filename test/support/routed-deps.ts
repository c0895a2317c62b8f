/** Dependencies of a flip with the routers and poolers of its config, instead of those in files. */
import { createPoolers } from '../../activities/pooler/create-poolers.js';
import { createPauseGuards } from '../../activities/pooler/pause-guard.js';
import { createRouting } from '../../activities/routing/create-routing.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import type { Config } from '../../config/schema.js';

/** `distDir`: where `resume-poolers.cjs` is; `deadlineMs`: of the pause guard. */
export type Routed = { distDir: string; deadlineMs: number };

export function routedDeps(deps: ActivityDeps, config: Config, { distDir, deadlineMs }: Routed): ActivityDeps {
  const program = { ...deps.program, distDir };
  return {
    ...deps,
    config,
    program,
    routing: createRouting(config, deps.resolveSecret),
    poolers: createPoolers(config, deps.resolveSecret),
    pauseGuard: createPauseGuards({ config, resolveSecret: deps.resolveSecret, program }, deadlineMs),
  };
}
