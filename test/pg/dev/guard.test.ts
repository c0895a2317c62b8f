/**
 * Scenario: somebody names a server of production as a developer's, by every way that leads there.
 * Verified: 1 its system identifier gives it away behind a tunnel, also when its nodes do not answer; 2 an environment of which nothing is known is a
 * refusal; 3 neither a host elsewhere, nor a standby, nor a user without rights; 4 no source was asked and nothing was made on either server.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { readIdentities } from '../../../activities/postgres/dev/identities.js';
import { createPlanDevRestore, createPrepareDevTarget } from '../../../activities/postgres/dev/index.js';
import type { DevPlan } from '../../../shared/contracts/dev.js';
import {
  destroyAllClusters,
  serverDirectory,
  startCluster,
  startStandby,
  type Cluster,
} from '../../support/cluster.js';
import { startProxy, type Proxy } from '../../support/counting-proxy.js';
import { freePort } from '../../support/ports.js';
import { waitFor } from '../../support/promotion-scene.js';
import { devConfig, devDeps, planInput, type DevDeps } from './deps.js';

jest.setTimeout(180_000);

let production: Cluster;
let dev: Cluster;
let tunnel: Proxy;
let dir: string;

beforeAll(async () => {
  production = await startCluster();
  dev = await startCluster();
  tunnel = await startProxy(production.port);
});
afterAll(async () => {
  await tunnel.close();
  await destroyAllClusters();
});
beforeEach(async () => {
  dir = await serverDirectory('pgr-guard-');
  await mkdir(path.join(dir, 'dumps'));
  await writeFile(path.join(dir, 'dumps', 'shop.dump'), 'PGDMP');
});
afterEach(async () => rm(dir, { recursive: true, force: true }));

const urlOf = ({ port }: { port: number }, user = 'postgres'): string =>
  `postgresql://${user}@127.0.0.1:${String(port)}/shop_dev`;

/** `nodePort`: where the config says that production is. */
function depsOf(more: Record<string, unknown> = {}, nodePort = production.port): DevDeps {
  const { dataDir, binDir } = production;
  const sources = { nightly: { kind: 'file', path: path.join(dir, 'dumps') } };
  return devDeps(dir, devConfig(dir, { port: nodePort, dataDir, binDir }, { sources, ...more }));
}

/** Production says who it is; on a busy machine perhaps not at the first question. */
async function remember(deps: DevDeps): Promise<void> {
  await waitFor(async () => (await readIdentities(deps)).unknown.length === 0);
}

async function refused(deps: DevDeps, into: string): Promise<unknown> {
  const error: unknown = await createPlanDevRestore(deps)(planInput({ into })).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(deps.asked).toEqual([]);
  for (const server of [production, dev]) {
    expect(await server.query("select datname from pg_database where datname like 'shop%'")).toEqual([]);
  }
  return error;
}

async function identifierOf(server: Cluster): Promise<string> {
  const [row] = await server.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  return row?.id ?? '';
}

test('a tunnel to a server of an environment is seen through', async () => {
  const deps = depsOf();
  await remember(deps);
  expect(await refused(deps, urlOf(tunnel))).toMatchObject({
    type: 'IdentityMismatch',
    message: expect.stringMatching(/is one of environment shop \(system identifier \d+\)/) as unknown,
  });
});

test('its own address is refused without a question', async () => {
  expect(await refused(depsOf(), urlOf(production))).toMatchObject({
    type: 'IdentityMismatch',
    message: expect.stringMatching(/is node dallas of environment shop/) as unknown,
  });
});

test('what production said once is remembered when it does not answer any more', async () => {
  await remember(depsOf());
  const nobody = await freePort();
  expect(await refused(depsOf({}, nobody), urlOf(production))).toMatchObject({ type: 'IdentityMismatch' });
});

test('a memory that is damaged refuses everything, instead of allowing what it forgot', async () => {
  const deps = depsOf();
  await remember(deps);
  await writeFile(path.join(deps.config.stateDir, 'restore-dev', 'identities.json'), '{"shop": [');
  expect(await refused(deps, urlOf(dev))).toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringMatching(/cannot read the known system identifiers/) as unknown,
  });
});

test('what the config pins is enough', async () => {
  const deps = depsOf({ neverInto: [await identifierOf(production)] }, await freePort());
  expect(await refused(deps, urlOf(production))).toMatchObject({ type: 'IdentityMismatch' });
});

test('an environment of which nobody knows anything is a refusal, whatever the server', async () => {
  const deps = depsOf({}, await freePort());
  expect(await refused(deps, urlOf(dev))).toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringMatching(/nobody can say that .* is not a server of shop/) as unknown,
  });
});

test('a host elsewhere is refused before anything is asked of anybody', async () => {
  expect(await refused(depsOf(), 'postgresql://postgres@192.0.2.7:5432/shop_dev')).toMatchObject({
    type: 'IdentityMismatch',
    message: expect.stringMatching(/192.0.2.7 is neither this machine nor one of dev.hosts/) as unknown,
  });
});

test("a standby of a developer's server is refused", async () => {
  const deps = depsOf();
  await remember(deps);
  const standby = await startStandby(dev);
  expect(await refused(deps, urlOf(standby))).toMatchObject({
    type: 'IdentityMismatch',
    message: expect.stringMatching(/is a standby/) as unknown,
  });
  await standby.destroy();
});

test('a user who may not create databases is told what is missing', async () => {
  const deps = depsOf();
  await remember(deps);
  await dev.query('drop role if exists reader');
  await dev.query('create role reader login');
  expect(await refused(deps, urlOf(dev, 'reader'))).toMatchObject({ type: 'NotAllowed' });
});

async function planFor(deps: DevDeps): Promise<DevPlan> {
  await remember(deps);
  return createPlanDevRestore(deps)(planInput({ into: urlOf(dev) }));
}

test("a developer's server is a target, by its system identifier", async () => {
  const plan = await planFor(depsOf());
  expect(plan).toMatchObject({ target: { systemIdentifier: await identifierOf(dev) }, replaces: null, warnings: [] });
});

test('another server at the address of the plan is not touched', async () => {
  const deps = depsOf();
  const plan = await planFor(deps);
  const step = { plan: { ...plan, target: { ...plan.target, port: tunnel.port } }, run: 'r', runId: 'i' };
  await expect(createPrepareDevTarget(deps)(step)).rejects.toMatchObject({ type: 'IdentityMismatch' });
  const foreign = { ...plan, target: { ...plan.target, systemIdentifier: '7000000000000000001' } };
  await expect(createPrepareDevTarget(deps)({ ...step, plan: foreign })).rejects.toMatchObject({
    message: expect.stringMatching(/another server answers now/) as unknown,
  });
});
