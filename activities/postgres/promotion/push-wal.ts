/**
 * Archives complete WAL files of a server that is down, with production's own archive_command: what its archiver would have done next. The
 * command is a shell command by PostgreSQL's definition, so it is handed to a shell as the server does (src/backend/archive/shell_archive.c).
 */
import type { NodeStepInput } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { describeFailure } from '../../lib/exec.js';
import { maskSecrets, programEnvironment } from '../../lib/exec-secrets.js';
import { currentActivity } from '../../lib/cancellation.js';
import { ownerOf } from '../data-directory.js';
import type { NodePlace } from './node-place.js';

const PUSH_TIMEOUT_MS = 60_000;

/** The shell command for one file: %p its path (relative to the data directory), %f its name, %% a percent sign. Pure. */
export function archiveCommandFor(command: string, name: string): string {
  return command.replace(/%(.)/g, (whole, letter: string) => {
    if (letter === 'p') return `pg_wal/${name}`;
    if (letter === 'f') return name;
    return letter === '%' ? '%' : whole;
  });
}

/** Pushes `names` in order, stops at the first that fails (a hole helps nobody), and says in one sentence what became of them. */
export async function pushWal(
  deps: ActivityDeps,
  input: NodeStepInput,
  place: NodePlace,
  names: readonly string[],
): Promise<string> {
  const owner = await ownerOf(place.dataDir);
  const { servers } = deps.runtime(input.environment, input.node);
  const { dataDir } = place;
  const { archive_command: command } = await servers.readSettings(dataDir, owner, ['archive_command']);
  if (names.length > 0 && command === '') return `${names.join(', ')} cannot be archived: archive_command is empty`;
  const env = programEnvironment(place.environment.backups);
  for (const [index, name] of names.entries()) {
    currentActivity()?.heartbeat();
    const shell = { dataDir, owner, command: archiveCommandFor(command, name), env, timeoutMs: PUSH_TIMEOUT_MS };
    const result = await servers.runShell(shell);
    if (result.exitCode !== 0) {
      const why = maskSecrets(describeFailure(result), env);
      deps.log.warn(
        { node: input.node, wal: name, why },
        'complete WAL of a server that is down could not be archived',
      );
      return `${String(index)} of ${String(names.length)} waiting files archived; ${names.slice(index).join(', ')} stay in the kept data`;
    }
  }
  return `${String(names.length)} waiting files archived`;
}
