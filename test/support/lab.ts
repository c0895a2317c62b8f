/**
 * A whole lab in a directory of its own, for tests of folders `lab`, `faults` and `browser`. It is driven through the built command line
 * only, as a person would; `destroy` stops what it started even when the test failed.
 */
import { execa } from 'execa';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';

import { isAlive, identify, type ProcessIdentity } from '../../activities/lib/process-identity.js';
import type { RunView } from '../../shared/contracts/status.js';
import { singleHostUrls } from '../../lab/quickstart-data.js';

const ROOT = path.join(__dirname, '../..');
const CLI = path.join(ROOT, 'dist/cli/main.js');

export type CliResult = { exitCode: number; stdout: string; stderr: string };

export type LabStatus = {
  dir: string;
  state: string;
  config: string;
  temporal: { address: string; ui: string; namespace: string; pid: number };
  s3: { endpoint: string; bucket: string; accessKeyId: string; secretAccessKey: string; pid: number };
  nodes: { name: string; url: string; port: number; dataDir: string; pid: number; role: string }[];
  write: { url: string };
  workers: { role: string; pid: number }[];
};

export class TestLab {
  static readonly #open = new Set<TestLab>();
  readonly #workers: ChildProcess[] = [];

  private constructor(
    readonly dir: string,
    readonly parent: string,
  ) {}

  /** Brings a lab up in a new temporary directory. `more`: further words of `lab up`. */
  static async up(more: string[] = []): Promise<TestLab> {
    const parent = await mkdtemp(path.join(tmpdir(), 'pgr-lab-test-'));
    const lab = new TestLab(path.join(parent, 'lab'), parent);
    TestLab.#open.add(lab);
    const result = await lab.pgr(['lab', 'up', ...more], { timeoutMs: 480_000 });
    if (result.exitCode !== 0) {
      const log = await readFile(path.join(lab.dir, 'logs', 'worker.log'), 'utf8').catch(() => '');
      await lab.destroy();
      throw new Error(`lab up ended with ${String(result.exitCode)}: ${result.stderr}\n${log.slice(-4000)}`);
    }
    return lab;
  }

  /** Runs the command line for this lab. */
  async pgr(args: string[], options: { timeoutMs?: number; config?: string } = {}): Promise<CliResult> {
    const config = options.config === undefined ? [] : ['--config', options.config];
    const result = await execa(process.execPath, [CLI, ...args, ...config], {
      reject: false,
      timeout: options.timeoutMs ?? 120_000,
      env: { PGR_LAB_DIR: this.dir, NO_COLOR: '1', PGR_USER: 'ana' },
      stdin: 'ignore',
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs a command with --json and returns its document, error documents included. */
  async json<T>(args: string[], options: { timeoutMs?: number; config?: string } = {}): Promise<T> {
    const result = await this.pgr([...args, '--json'], options);
    try {
      return JSON.parse(result.stdout) as T;
    } catch {
      throw new Error(
        `pgr ${args.join(' ')} printed no document (exit ${String(result.exitCode)}): ${result.stdout}${result.stderr}`,
      );
    }
  }

  status(): Promise<LabStatus> {
    return this.json<LabStatus>(['lab', 'status']);
  }

  async show(run: string, config?: string): Promise<RunView> {
    type Answer = RunView & { error?: { code: string; message: string } };
    const answer = await this.json<Answer>(['show', run], config === undefined ? {} : { config });
    if (answer.error) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    return answer;
  }

  /** Polls a run until it has one of the statuses (and, when given, its open step is `step`). */
  async waitFor(
    run: string,
    statuses: string[],
    options: { timeoutMs?: number; config?: string } = {},
  ): Promise<RunView> {
    return this.until(
      () => this.show(run, options.config),
      (view) => statuses.includes(view.status),
      options.timeoutMs ?? 180_000,
      (view) =>
        `run ${run} is ${view.status} (${view.failure?.message ?? JSON.stringify(view.steps.filter((s) => s.status !== 'pending' && s.status !== 'done'))})`,
    );
  }

  /** Polls until the predicate holds; the deadline's error says what was seen last. Errors of `read` count as "not yet". */
  async until<T>(
    read: () => Promise<T>,
    holds: (value: T) => boolean,
    timeoutMs: number,
    describe: (value: T) => string,
  ): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const seen = await read().then(
        (value) => ({ value, held: holds(value), text: describe(value) }),
        (error: unknown) => ({ held: false as const, text: error instanceof Error ? error.message : String(error) }),
      );
      if (seen.held) return seen.value;
      if (Date.now() > deadline) throw new Error(`waited ${String(timeoutMs)} ms in vain; last: ${seen.text}`);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** Approves the open gate of a run through the command line. */
  async approve(run: string, by = 'ben'): Promise<CliResult> {
    const view = await this.show(run);
    if (!view.gate) throw new Error(`run ${run} has no open gate`);
    return this.pgr(['approve', run, view.gate.name, '--code', view.gate.code, '--by', by]);
  }

  /** One query on the node that accepts writes. */
  async query<T extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<T[]> {
    const { write } = await this.status();
    for (const url of singleHostUrls(write.url)) {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3000 });
      try {
        await client.connect();
        const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
        if (rows[0]?.standby !== false) continue;
        return (await client.query<T>(sql, values)).rows;
      } catch (error) {
        if ((error as { code?: string }).code !== 'ECONNREFUSED') throw error;
      } finally {
        await client.end().catch(() => undefined);
      }
    }
    throw new Error('no node accepts writes');
  }

  /** Kills exactly this process with SIGKILL and waits until it is gone. */
  async kill(pid: number): Promise<void> {
    const identity: ProcessIdentity | null = await identify(pid);
    if (!identity) return;
    process.kill(pid, 'SIGKILL');
    await this.until(
      () => isAlive(identity),
      (alive) => !alive,
      10_000,
      () => `process ${String(pid)} lives`,
    );
  }

  /** Replaces the lab's worker by one of the test, with extra environment (armed fault points); what it says goes to `log`. */
  async startWorker(env: Record<string, string> = {}, config?: string, log?: number): Promise<ChildProcess> {
    const { config: labConfig } = await this.status();
    const args = [path.join(ROOT, 'dist/workers/main.js'), 'worker', '--all', '--config', config ?? labConfig];
    const worker = spawn(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', log ?? 'ignore', log ?? 'ignore'],
    });
    this.#workers.push(worker);
    return worker;
  }

  /** Stops the lab's own worker for good (until the next `lab up`). */
  async stopOwnWorker(): Promise<void> {
    for (const worker of (await this.status()).workers) await this.kill(worker.pid);
  }

  /** For afterAll: also a lab whose `up` failed half-way is taken down. */
  static async destroyAll(): Promise<void> {
    for (const lab of [...TestLab.#open]) await lab.destroy();
  }

  /** Kills the workers that this test started. */
  async stopWorkers(): Promise<void> {
    for (const worker of this.#workers) {
      if (worker.exitCode !== null || worker.signalCode !== null) continue;
      const gone = once(worker, 'exit');
      worker.kill('SIGKILL');
      await gone;
    }
  }

  async destroy(): Promise<void> {
    TestLab.#open.delete(this);
    await this.stopWorkers();
    await this.pgr(['lab', 'destroy', '--yes']);
    await rm(this.parent, { recursive: true, force: true });
  }
}
