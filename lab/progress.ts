/** What `lab up` and `lab down` say meanwhile: one line per stage with its time, on standard error. */
export type LabProgress = {
  /** One line of news inside a stage. */
  note: (text: string) => void;
  /** Runs a stage and prints its line when it is done. */
  stage: <T>(name: string, work: () => Promise<Staged<T>>) => Promise<T>;
};

/** A stage's result and what its line says about it. */
type Staged<T> = { value: T; says: string };

const NAME_WIDTH = 11;

/** Progress that writes lines; stages that run side by side each write theirs when they end. */
export function createProgress(write: (text: string) => void, now: () => number = Date.now): LabProgress {
  return {
    note(text) {
      write(`  ${text}\n`);
    },
    async stage(name, work) {
      const startedAt = now();
      const { value, says } = await work();
      const seconds = ((now() - startedAt) / 1000).toFixed(1).padStart(5);
      write(`  ${name.padEnd(NAME_WIDTH)} ${seconds} s  ${says}\n`);
      return value;
    },
  };
}
