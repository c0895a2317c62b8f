/** A server that archives with the real pgBackRest, an environment `shop` over it, and a hand that harms the repository. */
import { readdirSync } from 'node:fs';
import { chown, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../activities/lib/backup-store.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { makeStoreScene, type StoreScene } from './barman-scene.js';
import { serverDirectory, startCluster, type Cluster } from './cluster.js';
import { makeStanza, type TestStanza } from './pgbackrest.js';
import { freePort } from './ports.js';

export const STANZA = 'orders';

export type PgbackrestScene = StoreScene & {
  source: Cluster;
  stanza: TestStanza;
  store: BackupStore;
  /** Ends the current segment and waits until it is archived; returns its name. */
  switchWal(): Promise<string>;
  /** Takes a base and waits until a time after it counts as one: pgBackRest tells the end of a base in whole seconds. */
  takeBase(type: 'full' | 'diff' | 'incr'): Promise<string>;
  /** The file of a segment in the repository. */
  walFile(name: string): string;
  /** A directory of the server's user, removed with the scene. */
  temporary(prefix: string): Promise<string>;
  /** Takes a file of the repository away, or changes it; returns how to mend it. */
  harm(file: string, change: ((content: Buffer) => Buffer) | null): Promise<() => Promise<void>>;
};

export type PgbackrestSceneOptions = {
  program: string;
  /** Directory of the built programs of ours. */
  programs: string;
  binDir?: string;
  /** Settings of test servers that the major does not know. */
  omit?: readonly string[];
  /** Lines of pgbackrest.conf. */
  conf: readonly string[];
};

/** The table `orders` has 1000 rows; no base is taken. */
export async function makePgbackrestScene(options: PgbackrestSceneOptions): Promise<PgbackrestScene> {
  const dir = await serverDirectory('pgr-backrest-');
  const port = await freePort();
  const { program, programs, binDir, omit = [], conf } = options;
  const stanza = await makeStanza({ program, dir, name: STANZA, port, dataDir: path.join(dir, 'data'), conf });
  const source = await startCluster({
    dir,
    port,
    omit,
    ...(binDir === undefined ? {} : { binDir }),
    conf: [
      `unix_socket_directories = '${dir}'`,
      'archive_mode = on',
      `archive_command = '${stanza.archiveCommand}'`,
      // More than the defaults: a sandbox that does not know them would refuse to replay.
      'max_connections = 150',
      'autovacuum = off',
    ],
  });
  await stanza.run('stanza-create');
  const scene = await makeStoreScene(source, programs, {
    kind: 'pgbackrest',
    stanza: STANZA,
    command: stanza.command,
  });
  const store = await scene.deps.store('shop');
  await source.query("create table orders as select g as id, 'order' as note from generate_series(1, 1000) g");
  const temporaries: string[] = [];
  return {
    ...scene,
    async remove() {
      for (const one of temporaries) await rm(one, { recursive: true, force: true, maxRetries: 3 });
      await scene.remove();
    },
    async temporary(prefix) {
      const made = await serverDirectory(prefix);
      temporaries.push(made);
      return made;
    },
    source,
    stanza,
    store,
    async switchWal() {
      const [row] = await source.query<{ name: string }>('select pg_walfile_name(pg_switch_wal() - 1) as name');
      const name = row!.name;
      const there = await pollUntil(async () => ((await store.walPresence(name)) === 'found' ? true : null), {
        timeoutMs: 60_000,
        everyMs: 200,
      });
      if (there === null) throw new Error(`${name} was not archived: ${await readFile(source.logFile, 'utf8')}`);
      return name;
    },
    async takeBase(type) {
      const label = await stanza.backup(type);
      const second = Math.floor(Date.now() / 1000);
      const isPast = (): Promise<true | null> => Promise.resolve(Math.floor(Date.now() / 1000) > second ? true : null);
      await pollUntil(isPast, { timeoutMs: 5_000 });
      return label;
    },
    walFile(name) {
      const archive = path.join(stanza.repoDir, 'archive', STANZA);
      const id = readdirSync(archive).find((one) => /^\d+-1$/.test(one))!;
      const folder = path.join(archive, id, name.slice(0, 16));
      return path.join(
        folder,
        readdirSync(folder).find((file) => file.startsWith(`${name}-`))!,
      );
    },
    async harm(file, change) {
      const kept = `${file}.kept-aside`;
      await rename(file, kept);
      if (change !== null) {
        const { uid, gid } = await stat(kept);
        await writeFile(file, change(await readFile(kept)), { mode: 0o640 });
        await chown(file, uid, gid);
      }
      return () => rename(kept, file);
    },
  };
}
