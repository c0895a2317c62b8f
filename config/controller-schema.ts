/** The section `controller` of a store of kind `databasus`: what `pgr restore-controller` makes. */
import { z } from 'zod';

import { absolutePath, name, secretRef } from './schema-parts.js';

/** When a controller takes backups, in its own words. */
const backupIntervalSchema = z.strictObject({
  type: z.enum(['HOURLY', 'DAILY', 'WEEKLY', 'MONTHLY', 'CRON']),
  timeOfDay: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'use HH:MM, in UTC')
    .optional(),
  weekday: z.int().min(0).max(7).optional(),
  dayOfMonth: z.int().min(1).max(31).optional(),
  cronExpression: z.string().min(1).optional(),
});

/** What a controller has to be when it is made anew: `pgr restore-controller`. */
export const controllerSchema = z.strictObject({
  /** Host of the container: its worker needs the docker command. */
  host: name,
  container: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'use a name that docker takes')
    .default('databasus'),
  /** With its version: one that moves by itself is another controller tomorrow. */
  image: z.string().regex(/^[^-\s]\S*$/, 'use an image with its tag'),
  dockerHost: z.string().optional(),
  /** Directory on the host that is /databasus-data in the container: metadata and secret.key. */
  dataDir: absolutePath,
  /** Where the host publishes it. */
  publish: z
    .string()
    .regex(/^(\S+:)?\d{1,5}$/, 'use PORT or ADDRESS:PORT')
    .default('127.0.0.1:4005'),
  /** Docker network; `host` publishes nothing, the controller then listens on port 4005. */
  network: z.string().min(1).optional(),
  admin: z.strictObject({ email: z.string().min(1).default('admin'), password: secretRef }),
  workspace: z.string().min(1),
  /** Store of kind databasus-bucket under otherBackups: the objects of the old controller, and its secret key. */
  bucket: name,
  /** The same bucket as the controller uses it; its credentials must be able to write. */
  storage: z.strictObject({
    name: z.string().min(1),
    endpoint: z.url().optional(),
    accessKeyId: secretRef,
    secretAccessKey: secretRef,
  }),
  databases: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        host: z.string().min(1),
        port: z.int().min(1).max(65_535).default(5432),
        user: z.string().min(1),
        password: secretRef,
        sslMode: z.enum(['disable', 'require', 'verify-ca', 'verify-full']).default('require'),
        backupType: z.enum(['FULL_INCREMENTAL', 'FULL_INCREMENTAL_WAL_STREAM']).default('FULL_INCREMENTAL_WAL_STREAM'),
        systemIdentifier: z
          .string()
          .regex(/^\d{1,20}$/, 'use the number that pg_controldata prints, in quotes')
          .optional(),
        full: backupIntervalSchema.prefault({ type: 'DAILY', timeOfDay: '03:00' }),
        incremental: backupIntervalSchema.prefault({ type: 'HOURLY' }),
        keepChains: z.int().min(1).default(2),
        /** A slot that holds back more is dropped by the controller, and a new full base taken. */
        walLagBytes: z
          .int()
          .min(1)
          .default(10 * 1024 * 1024 * 1024),
      }),
    )
    .min(1),
});

export type BackupControllerConfig = z.output<typeof controllerSchema>;
