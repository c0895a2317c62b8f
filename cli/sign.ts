/** Signing with the person's own ssh key; a passphrase is asked by ssh-keygen itself, on the terminal. */
import { spawn } from 'node:child_process';

import { SIGNATURE_NAMESPACE } from '../shared/contracts/decisions.js';
import { PgrFailure } from '../shared/pgr-failure.js';

/** `ssh-keygen -Y sign` (ssh-keygen(1)); the text comes on standard input, the signature on standard output. */
function signArgs(keyFile: string): string[] {
  return ['-Y', 'sign', '-n', SIGNATURE_NAMESPACE, '-f', keyFile];
}

/** The armored signature over `text`. Throws CommandFailed with what ssh-keygen said. */
export async function signText(text: string, keyFile: string, program = 'ssh-keygen'): Promise<string> {
  const { code, stdout, stderr } = await run(program, signArgs(keyFile), text);
  if (code === 0 && stdout.startsWith('-----BEGIN SSH SIGNATURE-----')) return stdout.trim();
  const why = stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('Signing data'))
    .join(' | ');
  throw new PgrFailure('BadUsage', `cannot sign with ${keyFile}: ${why === '' ? 'no signature came' : why}`, {
    hint: 'name a private key, or the public key of one that is in your ssh agent',
  });
}

function run(
  program: string,
  args: string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
    child.on('error', (cause) => {
      reject(new PgrFailure('BadUsage', `${program} does not start`, { hint: 'install OpenSSH 8.2 or newer', cause }));
    });
    // It may refuse the key before it reads the text.
    child.stdin.on('error', () => undefined);
    child.on('close', (code) => {
      resolve({ code, ...output });
    });
    child.stdin.end(input);
  });
}
