/** What a person does with a cluster that was handed over: exact commands, in order. Pure. */
import path from 'node:path';

import type { EnvironmentConfig, NodeConfig } from '../../../config/schema.js';
import { shellWord as quoted } from '../../../shared/dump-commands.js';

/** From a stopped, flushed cluster to production, by hand; nothing of it was done. */
export function handOverCommands(
  name: string,
  environment: EnvironmentConfig,
  node: NodeConfig,
  dataDir: string,
): string[] {
  const old = `${node.dataDir}.before-dump`;
  const others = environment.nodes.filter((one) => one !== node);
  return [
    environment.apps.length === 0
      ? '# stop whatever writes to production'
      : `# stop the applications: ${environment.apps.map((app) => app.name).join(', ')}`,
    stopCommand(node),
    ...(node.snapshot.kind === 'directory'
      ? []
      : [
          `# ${node.dataDir} is a place of ${node.snapshot.kind}: take a snapshot and copy (cp -a) instead of the two mv`,
        ]),
    `[ ! -e ${quoted(node.dataDir)} ] || mv ${quoted(node.dataDir)} ${quoted(old)}`,
    `mv ${quoted(dataDir)} ${quoted(node.dataDir)}`,
    startCommand(node),
    `# it does not archive yet: WAL of two clusters in one archive makes both useless. Give the backups of ${name} another prefix (server, stanza) in recovery.yaml, restart the workers, then:`,
    `psql -h ${node.address} -p ${String(node.port)} -U ${environment.postgres.user} -d postgres -c 'alter system reset archive_mode'`,
    stopCommand(node),
    startCommand(node),
    `pgr take-base ${name}`,
    ...others.map(
      (one) =>
        `# standby ${one.name} on ${one.host} is of the old cluster: empty its data directory and make it anew with pg_basebackup`,
    ),
  ];
}

/** How a person stops the server of a node. */
export function stopCommand({ runtime, binDir, dataDir }: NodeConfig): string {
  switch (runtime.kind) {
    case 'systemd':
      return `${runtime.sudo ? 'sudo ' : ''}systemctl stop ${runtime.unit}`;
    case 'docker':
      return `docker stop ${runtime.container}`;
    case 'process':
    default:
      return `${asUser(runtime)}${path.join(binDir, 'pg_ctl')} -D ${quoted(dataDir)} stop -m fast`;
  }
}

function startCommand({ runtime, binDir, dataDir }: NodeConfig): string {
  switch (runtime.kind) {
    case 'systemd':
      return `${runtime.sudo ? 'sudo ' : ''}systemctl start ${runtime.unit}`;
    case 'docker':
      return `docker start ${runtime.container}`;
    case 'process':
    default:
      return `${asUser(runtime)}${path.join(binDir, 'pg_ctl')} -D ${quoted(dataDir)} start -l ${quoted(runtime.logFile ?? `${dataDir}.log`)}`;
  }
}

/** PostgreSQL refuses to be run by root. */
function asUser({ runAs }: Extract<NodeConfig['runtime'], { kind: 'process' }>): string {
  return runAs === undefined ? '' : `runuser -u ${runAs} -- `;
}
