/** Programs of this package as single files, built from the sources under test, as the build makes them (scripts/bundle.mjs). */
import { build } from 'esbuild';
import path from 'node:path';

/** Native or optional parts, which stay outside of a bundle; who runs a program that needs one puts it beside it. */
const NATIVE = ['lz4-napi', 'snappy', 'pg-native'];

/** Builds `entry` (a path in this package) as `outfile`. */
export async function bundleFile(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [path.resolve(entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: NATIVE,
    logLevel: 'error',
  });
}

/** The same for several, as `<dir>/<name>.cjs`. */
export async function bundleInto(dir: string, entries: readonly string[]): Promise<void> {
  await Promise.all(entries.map((entry) => bundleFile(entry, path.join(dir, `${path.parse(entry).name}.cjs`))));
}
