/**
 * Stands in for the docker command: its containers are the stand-in of a controller as a process, its state is a file in the directory that DOCKER_HOST
 * names. Images called `missing:…` cannot be pulled.
 */
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

type Fake = {
  id: string;
  name: string;
  image: string;
  labels: Record<string, string>;
  source: string;
  port: string;
  pid: number | null;
};

const dir = process.env['DOCKER_HOST'] ?? '';
const file = path.join(dir, 'containers.json');
const [, , verb = '', ...args] = process.argv;

function read(): Fake[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Fake[]) : [];
}

function isAlive(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    // A zombie whose parent has gone is nobody's: its state says so.
    return !/\) Z /.test(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function valuesOf(option: string): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ''] : []));
}

function fail(text: string, code: number): never {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

function inspected({ id, name, image, labels, source, pid }: Fake): unknown {
  return {
    Id: id,
    Name: `/${name}`,
    Image: `sha256:${id}`,
    State: { Status: pid === null ? 'created' : isAlive(pid) ? 'running' : 'exited', ExitCode: 0, Error: '' },
    HostConfig: { RestartPolicy: { Name: 'unless-stopped' }, NetworkMode: 'bridge' },
    Mounts: [{ Source: source, Destination: '/databasus-data', RW: true }],
    Config: { Image: image, Labels: labels, Env: [] },
  };
}

function create(): void {
  const [name = ''] = valuesOf('--name');
  const image = args.at(-1) ?? '';
  if (read().some((one) => one.name === name)) fail(`Conflict. The container name "/${name}" is already in use`, 125);
  if (image.startsWith('missing:')) fail(`Unable to find image '${image}' locally`, 125);
  const labels = Object.fromEntries(valuesOf('--label').map((label) => label.split('=', 2) as [string, string]));
  const source = /source=([^,]+)/.exec(valuesOf('--mount')[0] ?? '')?.[1] ?? '';
  const port = valuesOf('--publish')[0]?.split(':').at(-2) ?? '';
  writeFileSync(file, JSON.stringify([...read(), { id: randomUUID(), name, image, labels, source, port, pid: null }]));
}

function start(name: string): void {
  const all = read();
  const found = all.find((one) => one.name === name) ?? fail(`No such container: ${name}`, 1);
  if (isAlive(found.pid)) return;
  const program = path.join(dir, 'controller-program.cjs');
  const child = spawn(process.execPath, [program, found.source, found.port], { detached: true, stdio: 'ignore' });
  child.unref();
  found.pid = child.pid ?? null;
  writeFileSync(file, JSON.stringify(all));
}

if (verb === 'ps')
  process.stdout.write(
    read()
      .map(({ id }) => `${id}\n`)
      .join(''),
  );
else if (verb === 'inspect') process.stdout.write(JSON.stringify(read().map(inspected)));
else if (verb === 'create') create();
else if (verb === 'start') start(args[0] ?? '');
else fail(`docker ${verb}: not here`, 1);
