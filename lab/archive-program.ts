/**
 * The archive command is run by the server's user, who may be unable to enter a checkout or to run a node below another user's home. So
 * wal-push lies in the lab as one file (with the native part of its compression), and node is copied too when it must be.
 */
import { copyFile, cp, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { PgrFailure } from '../shared/pgr-failure.js';
import { replaceText } from './files.js';
import { LAB_ENVIRONMENT, type LabPaths } from './paths.js';
import { canUse, type ServerUser } from './server-user.js';

export type ArchiveProgramInput = { paths: LabPaths; distDir: string; node: string; serverUser: ServerUser | null };

/** Words of the archive command without its `%p`, after the files that it needs were put into the lab. */
export async function installArchiveProgram(input: ArchiveProgramInput): Promise<string[]> {
  const { paths, distDir } = input;
  await mkdir(paths.binDir, { recursive: true, mode: 0o755 });
  await copyWalPush(join(distDir, 'wal-push.cjs'), join(paths.binDir, 'wal-push.cjs'));
  await copyCompression(distDir, join(paths.binDir, 'node_modules'));
  const node = await usableNode(input);
  return [node, join(paths.binDir, 'wal-push.cjs'), '--config', paths.config, '--environment', LAB_ENVIRONMENT];
}

/** Replaced by a rename: the archiver may be starting it at this moment. */
async function copyWalPush(from: string, to: string): Promise<void> {
  const text = await readFile(from, 'utf8').catch((cause: unknown) => {
    throw new PgrFailure('PreconditionFailed', `${from} is missing: the programs are not built`, {
      hint: 'run `npm run build`, then `pgr lab up` again',
      cause,
    });
  });
  if (text !== (await readFile(to, 'utf8').catch(() => null))) await replaceText(to, text, { mode: 0o755 });
}

/** The native library is loaded by name, so it lies in a node_modules beside wal-push. */
async function copyCompression(distDir: string, modulesDir: string): Promise<void> {
  const wrapper = dirname(createRequire(join(distDir, 'wal-push.cjs')).resolve('lz4-napi'));
  const scope = join(dirname(wrapper), '@antoniomuso');
  const targets = [
    { from: wrapper, to: join(modulesDir, 'lz4-napi') },
    ...(await readdir(scope).catch(() => [])).map((name) => ({
      from: join(scope, name),
      to: join(modulesDir, '@antoniomuso', name),
    })),
  ];
  for (const { from, to } of targets) {
    if ((await packageVersion(from)) === (await packageVersion(to))) continue;
    const temporary = `${to}.new`;
    await rm(temporary, { recursive: true, force: true });
    await cp(from, temporary, { recursive: true, dereference: true });
    await rm(to, { recursive: true, force: true });
    await rename(temporary, to);
  }
}

async function packageVersion(dir: string): Promise<string | null> {
  return readFile(join(dir, 'package.json'), 'utf8').catch(() => null);
}

async function usableNode({ node, paths, serverUser }: ArchiveProgramInput): Promise<string> {
  if (serverUser === null || (await canUse(node, serverUser))) return node;
  const copy = join(paths.binDir, 'node');
  if (await canUse(copy, serverUser)) return copy;
  await copyFile(node, `${copy}.new`);
  await rename(`${copy}.new`, copy);
  if (await canUse(copy, serverUser)) return copy;
  throw new PgrFailure('PreconditionFailed', `user ${serverUser.name} cannot run ${node}, nor a copy of it`, {
    hint: 'install node for all users (for example below /usr/local), then run `pgr lab up` again',
  });
}
