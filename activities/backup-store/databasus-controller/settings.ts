/** Which controller the config describes, and the bucket that its key must open. Pure. */
import type { Config, DatabasusBucketConfig, DatabasusConfig } from '../../../config/schema.js';
import type { BackupControllerConfig } from '../../../config/controller-schema.js';
import { environmentOf, storeConfigOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';

export type ControllerSettings = {
  store: DatabasusConfig;
  controller: BackupControllerConfig;
  bucket: DatabasusBucketConfig;
};

/** Throws ConfigInvalid when the environment has no such section, or its bucket is not one that can be read without a controller. */
export function controllerSettingsOf(config: Config, environment: string): ControllerSettings {
  const own = environmentOf(config, environment);
  const { backups: store } = own;
  if (store.kind !== 'databasus' || store.controller === undefined) {
    throw stepFailure('ConfigInvalid', `environment ${environment} has no controller in its config`, {
      hint: 'describe it under backups.controller of a store of kind databasus: docs/restore-controller.md',
    });
  }
  const bucket = storeConfigOf(own, store.controller.bucket);
  if (bucket.kind === 'databasus-bucket') return { store, controller: store.controller, bucket };
  throw stepFailure('ConfigInvalid', `store ${store.controller.bucket} is of kind ${bucket.kind}`, {
    hint: 'name a store of kind databasus-bucket in backups.controller.bucket',
  });
}
