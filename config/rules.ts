/** What one value alone cannot show: rules between the parts of a config that has the right shape. */
import { ALL_RUNBOOKS } from '../shared/all-runbooks.js';
import type { Problem } from '../shared/pgr-failure.js';
import { MAIN_STORE, type Config, type EnvironmentConfig } from './schema.js';

/** Every broken rule, with the path of the value to change. */
export function checkConfig(config: Config): Problem[] {
  return Object.entries(config.environments).flatMap(([name, environment]) =>
    [checkNodes, checkSandbox, checkRouting, checkStores, checkController, checkApprovals, checkApps].flatMap((check) =>
      check(environment).map(({ path, problem }) => ({ path: `environments.${name}.${path}`, problem })),
    ),
  );
}

/** Names, addresses and data directories belong to one node only: two nodes on one directory is one node destroyed. */
function checkNodes({ nodes }: Pick<EnvironmentConfig, 'nodes'>): Problem[] {
  const rules = [
    { field: 'name', key: (node: EnvironmentConfig['nodes'][number]) => node.name },
    { field: 'dataDir', key: (node: EnvironmentConfig['nodes'][number]) => `${node.host}:${trimSlash(node.dataDir)}` },
    { field: 'port', key: (node: EnvironmentConfig['nodes'][number]) => `${node.address}:${String(node.port)}` },
  ];
  return rules.flatMap(({ field, key }) =>
    nodes.flatMap((node, index) => {
      const first = nodes.findIndex((other) => key(other) === key(node));
      if (first === index) return [];
      return [{ path: `nodes[${String(index)}].${field}`, problem: `is the same as that of nodes[${String(first)}]` }];
    }),
  );
}

/** A sandbox never lies inside a data directory, and never takes the port of a node that is merely down. */
function checkSandbox({ sandbox, nodes }: Pick<EnvironmentConfig, 'sandbox' | 'nodes'>): Problem[] {
  const problems: Problem[] = [];
  const [low, high] = sandbox.ports;
  if (low > high) problems.push({ path: 'sandbox.ports', problem: 'the first port is above the last one' });
  const dir = sandbox.dir === undefined ? null : trimSlash(sandbox.dir);
  nodes.forEach((node, index) => {
    const dataDir = trimSlash(node.dataDir);
    if (dir !== null && (dir === dataDir || dir.startsWith(`${dataDir}/`) || dataDir.startsWith(`${dir}/`)))
      problems.push({ path: 'sandbox.dir', problem: `overlaps the data directory of nodes[${String(index)}]` });
    if (node.port >= low && node.port <= high)
      problems.push({ path: `nodes[${String(index)}].port`, problem: 'lies inside sandbox.ports' });
  });
  return problems;
}

/** The write address is shown in plans and reports, so it holds no password. */
function checkRouting({ routing }: Pick<EnvironmentConfig, 'routing'>): Problem[] {
  const authority = /^[a-z]+:\/\/([^/?]*)/.exec(routing.url)?.[1] ?? '';
  const problems: Problem[] = [];
  if (/^[^@]*:[^@]*@/.test(authority) || /[?&]password=/.test(routing.url))
    problems.push({ path: 'routing.url', problem: 'holds a password; put a reference into postgres.password' });
  if (!/[?&]target_session_attrs=(read-write|primary)\b/.test(routing.url))
    problems.push({
      path: 'routing.url',
      problem: 'needs target_session_attrs=read-write, or writes go to whichever node answers first',
    });
  return problems;
}

/** `main` is what `--store` calls the store under `backups`. */
function checkStores({ otherBackups }: Pick<EnvironmentConfig, 'otherBackups'>): Problem[] {
  return Object.hasOwn(otherBackups, MAIN_STORE)
    ? [{ path: `otherBackups.${MAIN_STORE}`, problem: 'is the name of the store under backups; choose another' }]
    : [];
}

/** Ids of a lost controller mean nothing to the next one, so everything in the config is by name. */
function checkController({ backups, otherBackups }: Pick<EnvironmentConfig, 'backups' | 'otherBackups'>): Problem[] {
  const unused = Object.entries(otherBackups).flatMap(([store, other]) =>
    other.kind === 'databasus' && other.controller !== undefined
      ? [{ path: `otherBackups.${store}.controller`, problem: 'is used under backups only' }]
      : [],
  );
  if (backups.kind !== 'databasus' || backups.controller === undefined) return unused;
  const { controller, workspace, database } = backups;
  const names = controller.databases.map(({ name }) => name);
  const problems = [...unused];
  const add = (path: string, problem: string): void => void problems.push({ path: `backups.${path}`, problem });
  if (otherBackups[controller.bucket]?.kind !== 'databasus-bucket')
    add('controller.bucket', 'is not a store of kind databasus-bucket under otherBackups');
  if (workspace !== undefined && workspace !== controller.workspace)
    add('workspace', 'is not controller.workspace; an id does not outlive its controller');
  if (database !== undefined && !names.includes(database))
    add('database', 'is not the name of one of controller.databases; an id does not outlive its controller');
  if (database === undefined && names.length > 1) add('database', 'is missing; controller.databases has several');
  if (new Set(names).size < names.length) add('controller.databases', 'has a name twice');
  return problems;
}

/** A misspelt gate would silently fall back to the default policy, and a short `from` could never be satisfied. */
function checkApprovals({ approvals, identity }: Pick<EnvironmentConfig, 'approvals' | 'identity'>): Problem[] {
  const gates = knownGates();
  const problems = Object.entries(approvals).flatMap(([gate, policy]) => {
    const found: Problem[] = [];
    if (!gates.includes(gate))
      found.push({ path: `approvals.${gate}`, problem: `there is no such gate; the gates are ${gates.join(', ')}` });
    const people = new Set(policy.from).size;
    if (people > 0 && people < policy.required)
      found.push({
        path: `approvals.${gate}.required`,
        problem: `${String(policy.required)} approvals cannot come from ${String(people)} people`,
      });
    return found;
  });
  if (identity.kind === 'signed' && identity.allowedSigners === undefined)
    problems.push({
      path: 'identity.allowedSigners',
      problem: 'is missing; identity signed needs the file of allowed signers',
    });
  return problems;
}

/** Application names are unique: they name steps and jobs. */
function checkApps({ apps }: Pick<EnvironmentConfig, 'apps'>): Problem[] {
  return apps.flatMap((app, index) => {
    const first = apps.findIndex((other) => other.name === app.name);
    return first === index
      ? []
      : [{ path: `apps[${String(index)}].name`, problem: `is the same as that of apps[${String(first)}]` }];
  });
}

/** Gates of the runbook tables. */
function knownGates(): string[] {
  return [
    ...new Set(ALL_RUNBOOKS.flatMap(({ steps }) => steps.flatMap(({ gate }) => (gate === undefined ? [] : [gate])))),
  ];
}

function trimSlash(dir: string): string {
  return dir.replace(/\/+$/, '');
}
