/** Runs tasks that depend on each other with a few workers: the heaviest of those that are ready first. */
import { stepFailure } from '../../lib/failure.js';

export type Task<Worker> = {
  key: string;
  /** Keys of tasks that must be done before; those that are not in the list count as done. */
  after: readonly string[];
  weight: number;
  /** What it works on; an exclusive task shares it with nobody. */
  locks: readonly number[];
  exclusive: boolean;
  run(worker: Worker): Promise<void>;
};

/** Each worker takes one task at a time. The first failure is thrown; what runs then is not waited for. Throws Bug for tasks that wait for each other. */
export async function runTasks<Worker>(tasks: readonly Task<Worker>[], workers: readonly Worker[]): Promise<void> {
  const board = new Board(tasks);
  await Promise.all(workers.map((worker) => work(board, worker)));
}

async function work<Worker>(board: Board<Worker>, worker: Worker): Promise<void> {
  for (;;) {
    const task = await board.take();
    if (task === null) return;
    try {
      await task.run(worker);
      board.done(task);
    } catch (error) {
      board.stop();
      throw error;
    }
  }
}

class Board<Worker> {
  readonly #open: Task<Worker>[];
  readonly #undone: Set<string>;
  readonly #running = new Set<Task<Worker>>();
  #waiting: (() => void)[] = [];
  #stopped = false;

  constructor(tasks: readonly Task<Worker>[]) {
    this.#open = [...tasks].sort((a, b) => b.weight - a.weight);
    this.#undone = new Set(tasks.map(({ key }) => key));
  }

  /** The next task; null when there is none any more. */
  async take(): Promise<Task<Worker> | null> {
    for (;;) {
      if (this.#stopped || this.#open.length === 0) return null;
      const at = this.#open.findIndex((task) => this.#isReady(task));
      const [task] = at < 0 ? [] : this.#open.splice(at, 1);
      if (task !== undefined) {
        this.#running.add(task);
        return task;
      }
      if (this.#running.size === 0) {
        this.stop();
        throw stepFailure('Bug', `these wait for each other: ${this.#open.map(({ key }) => key).join(', ')}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  done(task: Task<Worker>): void {
    this.#running.delete(task);
    this.#undone.delete(task.key);
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #isReady(task: Task<Worker>): boolean {
    if (task.after.some((key) => this.#undone.has(key))) return false;
    return ![...this.#running].some(
      (other) => (task.exclusive || other.exclusive) && other.locks.some((lock) => task.locks.includes(lock)),
    );
  }
}
