/** Ends jobs that somebody cancelled, and what a dead job left running. */
import { setTimeout as delay } from 'node:timers/promises';

import { readJobState, type Claim } from './job-files.js';
import { belongsToJob, endGroup, livingMembers } from './process-group.js';

/** Programs such as pg_basebackup remove their half-made output on TERM; more than this is no clean-up any more. */
const GRACE_MS = 10_000;

/**
 * Ends the job in `dir` and its children; returns when they are gone. Of a job whose command has ended, however it did, what it left running ends:
 * the receiver of a killed pg_basebackup goes on writing into its directory.
 */
export async function endJob(dir: string, graceMs: number = GRACE_MS): Promise<void> {
  const state = await readJobState(dir);
  // `running` was shown by pid and start mark of a member, so the number of the group cannot belong to anybody else.
  if (state.kind === 'running') await endGroup(state.claim.wrapper.pid, graceMs);
  if (state.kind === 'ended' || state.kind === 'lost') await endRemains(dir, state.claim);
}

/**
 * Kills members of a dead job that outlived its command (a killed program whose children went on), so that the next start works alone.
 * Only processes that carry the job's own directory in their environment are touched.
 */
export async function endRemains(dir: string, claim: Claim): Promise<void> {
  for (;;) {
    const members = await livingMembers(claim.wrapper.pid);
    const belongs = await Promise.all(members.map((pid) => belongsToJob(pid, dir)));
    const remains = members.filter((_, index) => belongs[index]);
    if (remains.length === 0) return;
    for (const pid of remains) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
    await delay(20);
  }
}
