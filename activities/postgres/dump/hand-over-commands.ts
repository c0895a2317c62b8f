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
    `[ ! -e ${quoted(node.dataDir)} ] || mv ${quoted(node.dataDir)} ${quoted(old)}`,
    `mv ${quoted(dataDir)} ${quoted(node.dataDir)}`,
    ...(node.configFile === undefined
      ? [
          `for f in postgresql.conf pg_hba.conf pg_ident.conf; do [ ! -f ${quoted(old)}/$f ] || cp -p ${quoted(old)}/$f ${quoted(node.dataDir)}/; done`,
        ]
      : []),
    `# its WAL must not get into the archive of the old cluster: give backups of ${name} another prefix (or server, stanza) in recovery.yaml, and restart the workers`,
    startCommand(node),
    `pgr take-base ${name}`,
    ...others.map(
      (one) =>
        `# standby ${one.name} on ${one.host} is of the old cluster: empty its data directory and make it anew with pg_basebackup`,
    ),
  ];
}

function stopCommand({ runtime, binDir, dataDir }: NodeConfig): string {
  switch (runtime.kind) {
    case 'systemd':
      return `systemctl stop ${runtime.unit}`;
    case 'docker':
      return `docker stop ${runtime.container}`;
    case 'process':
    default:
      return `${path.join(binDir, 'pg_ctl')} -D ${quoted(dataDir)} stop -m fast`;
  }
}

function startCommand({ runtime, binDir, dataDir }: NodeConfig): string {
  switch (runtime.kind) {
    case 'systemd':
      return `systemctl start ${runtime.unit}`;
    case 'docker':
      return `docker start ${runtime.container}`;
    case 'process':
    default:
      return `${path.join(binDir, 'pg_ctl')} -D ${quoted(dataDir)} start -l ${quoted(runtime.logFile ?? `${dataDir}.log`)}`;
  }
}
