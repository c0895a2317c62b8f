/** The part of recovery.yaml about databases of developers. */
import { z } from 'zod';

import { absolutePath, name, s3LocationSchema, secretRef } from './schema-parts.js';

/** Where dumps for developers come from. */
export const dumpSourceSchema = z.discriminatedUnion('kind', [
  /** A dump, or a directory of dumps (its newest is taken). */
  z.strictObject({ kind: z.literal('file'), path: absolutePath }),
  /** Objects below the prefix, such as daily/YYYY/MM/DD/<name>.dump: the newest is taken. */
  s3LocationSchema.extend({
    kind: z.literal('s3'),
    /** Names of objects that are dumps, without their folders. */
    match: z.string().min(1).default('*'),
  }),
  /** Dumps that a Databasus controller makes; a user who may list and download is enough. */
  z.strictObject({
    kind: z.literal('databasus'),
    url: z.url({ protocol: /^https?$/ }),
    email: z.string().min(1),
    password: secretRef,
    /** Name or id of the logical database. */
    database: z.string().min(1),
  }),
]);

/** The developer's server. */
const devTargetSchema = z.discriminatedUnion('kind', [
  /** One that is there. */
  z.strictObject({
    kind: z.literal('server'),
    url: z.string().regex(/^postgres(ql)?:\/\//, 'use a postgresql:// URL'),
    password: secretRef.optional(),
  }),
  /** One that pgr makes and starts when it is not there. */
  z.strictObject({
    kind: z.literal('process'),
    dataDir: absolutePath,
    port: z.int().min(1024).max(65_535),
    /** Operating system user of the server when the worker runs as root. */
    runAs: z.string().default('postgres'),
  }),
  /** A container that pgr makes and starts when it is not there. */
  z.strictObject({
    kind: z.literal('docker'),
    container: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'use the name of a container'),
    image: z.string().min(1).default('postgres:18'),
    port: z.int().min(1024).max(65_535),
    /** Where the volume of the data is mounted; /var/lib/postgresql/data for images before 18. */
    mount: absolutePath.default('/var/lib/postgresql'),
  }),
]);

export const devSchema = z.strictObject({
  /** Host whose worker restores: the developer's machine. */
  host: name.default('dev'),
  sources: z.record(name, dumpSourceSchema).refine((sources) => Object.keys(sources).length > 0, 'name a source'),
  target: devTargetSchema.optional(),
  database: z.string().min(1),
  /** Programs of PostgreSQL (initdb, psql, pg_restore); those on the PATH when left out. */
  binDir: absolutePath.optional(),
  /** Hosts besides this machine that a target may be on. */
  hosts: z.array(z.string().min(1)).default([]),
  /** System identifiers of servers that are never a target, besides those of the environments that can be found out. */
  neverInto: z
    .array(z.string().regex(/^\d{1,20}$/, 'use the number that pg_controldata prints, in quotes'))
    .default([]),
  /** Globs of tables whose rows come with --deferred. */
  deferred: z.array(z.string().min(1)).default([]),
  /** Globs of materialized views that stay without rows. */
  skipMatviews: z.array(z.string().min(1)).default([]),
  /** SQL files that run in one transaction before anybody can connect. */
  postRestore: z.array(absolutePath).default([]),
  /** The same for the rows of --deferred; an empty list says that nothing has to be done to them. */
  postDeferred: z.array(absolutePath).optional(),
  jobs: z.int().min(1).max(64).optional(),
  /** Partitioned tables get a default partition, so that no insert fails. */
  defaultPartitions: z.boolean().default(true),
  /** Fewer checkpoints and no autovacuum on the whole server while it loads. */
  fastSettings: z.boolean().default(true),
});
