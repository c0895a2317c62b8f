/** Argument arrays of `docker` for the container of a controller. Pure. */
import type { BackupControllerConfig } from '../../../config/controller-schema.js';

/** The data directory as the controller sees it. */
export const INNER_DATA_DIR = '/databasus-data';
/** The port on which it listens. */
const INNER_PORT = '4005';

/** Which run made the container, for people. */
const RUN_LABEL = 'pgr.run';
const ENVIRONMENT_LABEL = 'pgr.environment';

type Wanted = Pick<BackupControllerConfig, 'container' | 'image' | 'dataDir' | 'publish' | 'network'> & {
  environment: string;
  run: string;
};

/** Makes the container without starting it; an image that is not there is pulled. */
export function createControllerArgs(wanted: Wanted): string[] {
  const { container, image, dataDir, publish, network, environment, run } = wanted;
  return [
    ...['create', '--name', container, '--restart', 'unless-stopped', '--pull', 'missing'],
    ...['--label', `${ENVIRONMENT_LABEL}=${environment}`, '--label', `${RUN_LABEL}=${run}`],
    ...['--mount', `type=bind,source=${dataDir},target=${INNER_DATA_DIR}`],
    ...(network === undefined ? [] : ['--network', network]),
    ...(network === 'host' || network === 'none' ? [] : ['--publish', `${publish}:${INNER_PORT}`]),
    image,
  ];
}

/** Starts a container that is there. */
export function startControllerArgs(container: string): string[] {
  return ['start', container];
}
