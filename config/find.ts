/** Which recovery.yaml is meant (cli.md, "Conventions"). */
import { stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { PgrFailure } from '../shared/pgr-failure.js';

type FindConfigInput = {
  /** `--config FILE`. */
  explicit?: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** The lab's directory (`--dir`); PGR_LAB_DIR, then `./.lab`, when left out. */
  labDir?: string | undefined;
};

/** Absolute directory of the lab: `--dir`, else PGR_LAB_DIR, else `.lab` below the working directory. */
export function labDirOf(input: Pick<FindConfigInput, 'env' | 'cwd' | 'labDir'>): string {
  const { labDir, env, cwd } = input;
  return path.resolve(cwd, nonEmpty(labDir) ?? nonEmpty(env['PGR_LAB_DIR']) ?? '.lab');
}

/**
 * Absolute path of the config: --config, PGR_CONFIG, ./recovery.yaml, ~/.config/pgr/recovery.yaml, then the lab's.
 * The first two are taken at their word: when such a file is missing that is a failure, never a reason to read another one
 * (a typed path that silently means another environment is how the wrong one gets recovered).
 * Throws NotFound with every place that was looked at.
 */
export async function findConfig(input: FindConfigInput): Promise<string> {
  const named = nonEmpty(input.explicit) ?? nonEmpty(input.env['PGR_CONFIG']);
  if (named !== undefined)
    return requireFile(path.resolve(input.cwd, named), input.explicit ? '--config' : 'PGR_CONFIG');
  const home = nonEmpty(input.env['HOME']) ?? os.homedir();
  const configHome = nonEmpty(input.env['XDG_CONFIG_HOME']) ?? path.join(home, '.config');
  const places = [
    path.join(input.cwd, 'recovery.yaml'),
    path.join(configHome, 'pgr', 'recovery.yaml'),
    path.join(labDirOf(input), 'recovery.yaml'),
  ];
  for (const place of new Set(places)) if (await isFile(place)) return place;
  throw new PgrFailure('NotFound', `there is no config; looked at ${places.join(', ')}`, {
    hint: 'write a recovery.yaml (see recovery.example.yaml), name one with --config, or start the lab',
    next: ['pgr lab up'],
  });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

async function requireFile(file: string, source: string): Promise<string> {
  if (await isFile(file)) return file;
  throw new PgrFailure('NotFound', `${source} names ${file}, and there is no such file`, {
    hint: 'check the path; no other config is read instead',
  });
}

async function isFile(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => null);
  return found?.isFile() ?? false;
}
