/** Calls `bin/pgr` as a person would, for the lab of the quickstart. */
import { execa } from 'execa';
import path from 'node:path';

export type Pgr = {
  /** Runs a command and lets its output through. */
  show(args: string[]): Promise<void>;
  /** Runs a command with `--json` and returns its document; an error document becomes an exception with its hint. */
  json<T>(args: string[]): Promise<T>;
};

type ErrorDocument = { error?: { code: string; message: string; hint: string } };

/** @param labDir directory of the lab */
export function runPgr(labDir: string): Pgr {
  const program = path.join(path.dirname(path.dirname(path.resolve(process.argv[1] ?? ''))), 'cli', 'main.js');
  const env = { PGR_LAB_DIR: labDir };
  return {
    async show(args) {
      await execa(process.execPath, [program, ...args], { env, stdio: 'inherit' });
    },
    async json<T>(args: string[]) {
      const result = await execa(process.execPath, [program, ...args, '--json'], {
        env,
        reject: false,
        stderr: 'inherit',
      });
      const document = JSON.parse(result.stdout === '' ? '{}' : result.stdout) as T & ErrorDocument;
      if (document.error) throw new Error(`pgr ${args.join(' ')}: ${document.error.message} (${document.error.hint})`);
      return document;
    },
  };
}
