/** `app start|stop|status --dir LAB`: what recovery.yaml names as the commands of the lab's application. Status: 0 running, 3 stopped. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { findWriter, startWriter, stopWriter } from './app-control.js';
import { labPaths } from './paths.js';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { dir: { type: 'string' } } });
  const [verb] = positionals;
  if (values.dir === undefined || verb === undefined) throw new Error('usage: app start|stop|status --dir LAB');
  const paths = labPaths(await realpath(values.dir));
  switch (verb) {
    case 'start': {
      const distDir = path.dirname(path.dirname(await realpath(process.argv[1] ?? '')));
      const { outcome, pid } = await startWriter(paths, { node: process.execPath, distDir });
      say(`${outcome}, pid ${pid}`);
      return 0;
    }
    case 'stop':
      say(await stopWriter(paths, 'stopped'));
      return 0;
    case 'status': {
      const found = await findWriter(paths);
      say(found === null ? 'stopped' : `running, pid ${found.pid}`);
      return found === null ? 3 : 0;
    }
    default:
      throw new Error(`there is no ${verb}; use start, stop or status`);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
