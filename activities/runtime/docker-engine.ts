/** Asks a Docker engine through its command line. An engine that does not answer is "unknown", never "no such container". */
import { describeFailure, runProgram, type ProgramResult } from '../lib/exec.js';
import { inspectContainersArgs, listContainersArgs } from './commands.js';
import { parseInspect, type Container } from './containers.js';

/** All containers of the engine, or why they are not known. */
type EngineAnswer = { state: 'known'; containers: Container[] } | { state: 'unknown'; why: string };

export type Engine = {
  /** @param passed variables of the client, for `--env NAME` */
  run(args: readonly string[], timeoutMs?: number, passed?: Record<string, string>): Promise<ProgramResult>;
  readContainers(): Promise<EngineAnswer>;
};

/** A healthy engine answers in milliseconds; one that is wedged must not hold up a failover. */
const ANSWER_TIMEOUT_MS = 20_000;
/** A container that ends between the list and the look makes `inspect` fail as a whole. */
const LOOKS = 3;

/** The engine at `dockerHost`, else the one of the worker's environment. */
export function createEngine(dockerHost: string | undefined): Engine {
  const env = { ...dockerEnvironment(process.env), ...(dockerHost === undefined ? {} : { DOCKER_HOST: dockerHost }) };
  const run: Engine['run'] = (args, timeoutMs = ANSWER_TIMEOUT_MS, passed = {}) =>
    runProgram('docker', args, { env: { ...passed, ...env }, timeoutMs });
  return {
    run,
    async readContainers() {
      try {
        return await readAll(run);
      } catch (error) {
        return { state: 'unknown', why: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

async function readAll(run: Engine['run']): Promise<EngineAnswer> {
  let last = '';
  for (let look = 0; look < LOOKS; look++) {
    const listed = await run(listContainersArgs());
    if (listed.exitCode !== 0) return { state: 'unknown', why: describeFailure(listed) };
    const ids = listed.stdout.split('\n').filter((line) => line !== '');
    if (ids.length === 0) return { state: 'known', containers: [] };
    const inspected = await run(inspectContainersArgs(ids));
    if (inspected.exitCode === 0) return { state: 'known', containers: parseInspect(inspected.stdout) };
    last = describeFailure({ ...inspected, command: 'docker inspect' });
  }
  return { state: 'unknown', why: last };
}

/** How the docker client finds its engine and credentials: DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY. */
function dockerEnvironment(source: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(source).filter(([name]) => name.startsWith('DOCKER_'));
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}
