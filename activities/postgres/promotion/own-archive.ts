/**
 * The archive of one cluster holds nothing of another one. Names of WAL files begin anew with every cluster: where two of them archive to one place, one
 * fails or, worse, the files of both stand side by side and neither can be restored.
 */
import type { StoreConfig } from '../../../config/schema.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';

/**
 * Returns what the archive holds, for people. Throws PreconditionFailed with the edit that makes it possible when it holds another cluster, or when the store
 * cannot tell.
 */
export async function requireOwnArchive(
  deps: Pick<ActivityDeps, 'config' | 'store'>,
  environment: string,
  systemIdentifier: string,
): Promise<string> {
  const store = await deps.store(environment);
  const { backups } = environmentOf(deps.config, environment);
  const found = await store.systems?.();
  if (found === undefined) {
    throw stepFailure(
      'PreconditionFailed',
      `store ${store.kind} cannot tell of which cluster its archive is: WAL of ${systemIdentifier} may be the second there`,
      archiveAdvice(environment, backups, systemIdentifier),
    );
  }
  const foreign = found.filter((system) => system !== systemIdentifier);
  if (foreign.length === 0) return found.length === 0 ? 'empty' : `holds only system ${systemIdentifier}`;
  throw stepFailure(
    'PreconditionFailed',
    `the archive of ${environment} is that of system ${foreign.join(' and ')}: WAL of system ${systemIdentifier} must not come among it`,
    archiveAdvice(environment, backups, systemIdentifier),
  );
}

/** What a person does to give a cluster an archive of its own, by kind of store. Pure. */
export function archiveAdvice(
  environment: string,
  backups: StoreConfig,
  systemIdentifier: string,
): { hint: string; next: string[] } {
  const where = `environments.${environment}`;
  const move = `move ${where}.backups to ${where}.otherBackups.old (its window stays) and`;
  const after = 'restart the workers, then `pgr retry`';
  const edit = (line: string): { hint: string; next: string[] } => ({
    hint: `nothing was touched; stop the old primary, in the config ${move} write it under backups once more with \`${line}\`; ${after}`,
    next: [`pgr config check`, `pgr check ${environment}`],
  });
  switch (backups.kind) {
    case 's3':
      return edit(`prefix: ${newName(backups.prefix, systemIdentifier)}`);
    case 'barman': {
      const server = newName(backups.server, systemIdentifier);
      const { hint } = edit(`server: ${server}`);
      const made = `give barman a server [${server}] with a configuration of its own (conninfo, slot, archive_command of production); `;
      return { hint: hint.replace('in the config', `${made}in the config`), next: [`barman check ${server}`] };
    }
    case 'pgbackrest':
      return {
        hint: `nothing was touched; stop the old primary, then let the stanza know the new cluster (pgbackrest keeps the old one's backups and WAL apart); then \`pgr retry\``,
        next: [
          `pgbackrest --stanza=${backups.stanza} --no-online --pg1-path=DATA-DIRECTORY-OF-THE-SANDBOX stanza-upgrade`,
        ],
      };
    case 'databasus':
      return {
        hint: 'nothing was touched; a controller takes the WAL of the cluster that it was told of: hand the cluster over instead, and add it to the controller as a database of its own',
        next: [`pgr restore-dump ${environment} --from SOURCE --hand-over`],
      };
    case 'barman-cloud':
    case 'databasus-bucket':
    default:
      return { hint: `nothing was touched; name a store that production archives to under ${where}.backups`, next: [] };
  }
}

function newName(old: string, systemIdentifier: string): string {
  const name = old.replace(/\/+$/, '');
  return name === '' ? systemIdentifier : `${name}-${systemIdentifier}`;
}
