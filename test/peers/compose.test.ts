/**
 * docker-compose.yml and what belongs to it, without starting it (that is `npm run test:compose`: minutes).
 * Verified: (1) the environment of recovery.compose.yaml is valid and fits the services; (2) pinned versions are those of the lab; (3) `docker compose` takes
 * the file.
 */
import { readFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parse } from 'yaml';

import { haproxyCfg } from '../../config/haproxy-cfg.js';
import { describeHaproxy } from '../../config/haproxy-facts.js';
import { loadConfig } from '../../config/load.js';
import { environmentOf } from '../../activities/lib/environment-config.js';
import { WHEELS } from '../../lab/tool-wheels.js';

type Service = { image: string; build?: { target: string }; environment?: Record<string, string>; volumes?: string[] };
type Compose = { services: Record<string, Service>; volumes: Record<string, null> };

const root = process.cwd();
const text = (file: string): Promise<string> => readFile(path.join(root, file), 'utf8');
const compose = async (): Promise<Compose> => parse(await text('docker-compose.yml'), { merge: true }) as Compose;

describe('docker-compose.yml', () => {
  test('runs a container for every node of recovery.compose.yaml, for its router and for its pooler', async () => {
    const { services } = await compose();
    const environment = environmentOf(await loadConfig(path.join(root, 'recovery.compose.yaml')), 'compose');
    for (const node of environment.nodes) {
      expect(services[node.host]?.environment?.['PGR_NODE']).toBe(node.name);
      expect(node.address).toBe(node.host);
    }
    expect(environment.routing.kind).toBe('haproxy');
    expect(Object.keys(services)).toEqual(
      expect.arrayContaining([
        'haproxy',
        'orchestrator',
        's3',
        'temporal',
        ...environment.poolers.map(({ address }) => address),
      ]),
    );
  });

  test('gives HAProxy a configuration that asks the pg-health of each node', async () => {
    const environment = environmentOf(await loadConfig(path.join(root, 'recovery.compose.yaml')), 'compose');
    const described = describeHaproxy('compose', environment);
    if (!('file' in described)) throw new Error(JSON.stringify(described.problems));
    const cfg = haproxyCfg(described.file);
    expect(cfg).toContain('server dallas dallas:5432 check addr dallas port 8009');
    expect(cfg).toContain('server chicago chicago:5432 check addr chicago port 8009');
  });

  test('only services with a stage of the Dockerfile are built, and every volume is declared', async () => {
    const { services, volumes } = await compose();
    const stages = [...(await text('docker/Dockerfile')).matchAll(/^FROM \S+ AS (\S+)$/gm)].map((match) => match[1]);
    for (const service of Object.values(services)) {
      if (service.build !== undefined) expect(stages).toContain(service.build.target);
      for (const volume of service.volumes ?? []) {
        const [source = ''] = volume.split(':');
        if (!source.startsWith('.')) expect(Object.keys(volumes)).toContain(source);
      }
    }
  });

  test('pins the versions that the lab installs', async () => {
    const dockerfile = await text('docker/Dockerfile');
    for (const name of ['postgres18', 'temporal', 'weed'] as const) {
      expect(dockerfile).toContain(`${WHEELS[name].name}==${WHEELS[name].version}`);
    }
  });
});

const hasCompose = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0;
if (!hasCompose)
  process.stderr.write('skipped: docker compose is not installed (Debian 13: apt-get install docker-compose)\n');

(hasCompose ? describe : describe.skip)('docker compose', () => {
  test('takes the file', () => {
    const said = spawnSync(
      'docker',
      ['compose', '--file', path.join(root, 'docker-compose.yml'), 'config', '--quiet'],
      { encoding: 'utf8' },
    );
    expect(said.stderr.replace(/^.*obsolete.*$/gm, '').trim()).toBe('');
    expect(said.status).toBe(0);
  });
});
