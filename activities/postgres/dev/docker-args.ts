/** Arguments of docker for the container of a developer. Pure. */
import { OWN_SETTINGS, settingArgs, type OwnTarget } from './own-server.js';

/** Published on this machine only, so that everybody on it may connect without a password. */
export function containerArgs(target: Extract<OwnTarget, { kind: 'docker' }>, environment: string): string[] {
  const { container, image, port, mount } = target;
  return [
    ...['run', '--detach', '--name', container, '--label', `pgr.dev=${environment}`, '--restart', 'unless-stopped'],
    ...['--publish', `127.0.0.1:${String(port)}:5432`, '--volume', `${container}:${mount}`, '--shm-size', '1g'],
    ...['--env', 'POSTGRES_HOST_AUTH_METHOD=trust', image],
    ...settingArgs(OWN_SETTINGS),
  ];
}
