/** Secrets in 1Password: `op://vault/item/field`, read from a Connect server over HTTP, for hosts without the program `op`. */
import type { OpFailure } from './classify-op-failure.js';
import { readWithRetries, type OpAttempt } from './op-attempts.js';
import { requireValue } from './reference.js';

export type ConnectServer = { host: string; token: string };
type Environment = Readonly<Record<string, string | undefined>>;
type Fetched = { json: unknown } | { failure: OpFailure };
type Get = (path: string) => Promise<Fetched>;

/** Each of at most four requests; a Connect server is near, and keeps a copy of what it serves. */
const TIMEOUT_MS = 5_000;
/** Ids of vaults and items. */
const ID = /^[a-z0-9]{26}$/;

/**
 * The Connect server that a worker was given; null where there is none, where `PGR_OP` says that the program is to be used, and for attributes
 * (`?attribute=otp`), which only the program computes.
 */
export function connectServerOf(env: Environment, reference: string): ConnectServer | null {
  if (reference.includes('?')) return null;
  const [host, token] = [env['OP_CONNECT_HOST'] ?? '', env['OP_CONNECT_TOKEN'] ?? ''];
  return host === '' || token === '' || env['PGR_OP'] !== undefined ? null : { host, token };
}

/** The value. Throws CredentialsRefused for what a person must mend and SecretUnavailable (retried) when the server does not answer. */
export async function readFromConnect(
  reference: string,
  server: ConnectServer,
  { retryDelayMs, timeoutMs = TIMEOUT_MS }: { retryDelayMs?: number | undefined; timeoutMs?: number } = {},
): Promise<string> {
  const get: Get = (path) => fetchJson(server, path, timeoutMs);
  const value = await readWithRetries(reference, () => readField(get, reference), retryDelayMs);
  return requireValue(value, reference, 'fill the field in 1password');
}

async function readField(get: Get, reference: string): Promise<OpAttempt> {
  const parts = partsOf(reference);
  if (parts === null) return MALFORMED;
  const { vault, item, section, field } = parts;
  const vaultId = await findId(get, '/v1/vaults', 'name', vault);
  if ('failure' in vaultId) return vaultId;
  const items = `/v1/vaults/${vaultId.id}/items`;
  const itemId = await findId(get, items, 'title', item);
  if ('failure' in itemId) return itemId;
  const found = await get(`${items}/${itemId.id}`);
  return 'failure' in found ? found : valueOf(found.json, section, field);
}

/** Vault, item, perhaps a section, field. Null for what is not such a reference. */
function partsOf(reference: string): { vault: string; item: string; section: string | null; field: string } | null {
  const match = /^op:\/\/([^/]+)\/([^/]+)\/(?:([^/]+)\/)?([^/?]+)$/.exec(reference);
  const [, vault, item, section, field] = match ?? [];
  if (vault === undefined || item === undefined || field === undefined) return null;
  return { vault, item, section: section ?? null, field };
}

const MALFORMED = { failure: 'malformed' } as const;
const NOT_FOUND = { failure: 'not-found' } as const;
/** Two that bear the same name: only the id says which. */
const AMBIGUOUS = { failure: 'ambiguous' } as const;

/** The id of what a reference names by id or, without regard to case, by name. Two of one name are no answer. */
async function findId(
  get: Get,
  path: string,
  key: 'name' | 'title',
  wanted: string,
): Promise<{ id: string } | { failure: OpFailure }> {
  if (ID.test(wanted)) return { id: wanted };
  const exact = await get(`${path}?filter=${encodeURIComponent(`${key} eq "${wanted}"`)}`);
  if ('failure' in exact) return exact;
  const all = listOf(exact.json).length > 0 ? exact : await get(path);
  if ('failure' in all) return all;
  const found = listOf(all.json).filter((one) => isSame(one[key], wanted));
  if (found.length > 1) return AMBIGUOUS;
  const id = found[0]?.['id'];
  return typeof id === 'string' && /^[A-Za-z0-9]+$/.test(id) ? { id } : NOT_FOUND;
}

/** A field by id or label; in a section when the reference has one, else first among those that stand in none. Pure. */
function valueOf(item: unknown, section: string | null, wanted: string): OpAttempt {
  const { fields, sections } = isObject(item) ? item : {};
  const named = listOf(fields).filter(({ id, label }) => isSame(id, wanted) || isSame(label, wanted));
  const labelOf = (id: unknown): unknown => listOf(sections).find((one) => one['id'] === id)?.['label'];
  const sectionOf = (field: Fields): Fields | null => (isObject(field['section']) ? field['section'] : null);
  const outside = named.filter((field) => sectionOf(field) === null);
  const inside = named.filter((field) => {
    const own = sectionOf(field);
    if (own === null || section === null) return own !== null;
    return [own['id'], own['label'], labelOf(own['id'])].some((name) => isSame(name, section));
  });
  const found = section === null && outside.length > 0 ? outside : inside;
  if (found.length > 1) return AMBIGUOUS;
  if (found[0] === undefined) return NOT_FOUND;
  const { value } = found[0];
  return { value: typeof value === 'string' ? value : '' };
}

/** One request. No redirect is followed, because the token would go along; nothing of an answer is in a message. */
async function fetchJson({ host, token }: ConnectServer, path: string, timeoutMs: number): Promise<Fetched> {
  try {
    const response = await fetch(`${host.replace(/\/+$/, '')}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    if (response.status !== 200) return { failure: failureOf(response.status) };
    return { json: JSON.parse(text) as unknown };
  } catch (error) {
    // A host that is no url, or a token with a line end, fails before anything is sent; what is no JSON comes from something else than Connect.
    const { name, cause } = isObject(error) ? error : {};
    const isOurs = name === 'SyntaxError' || (name === 'TypeError' && !isSystemError(cause));
    return { failure: isOurs ? 'unknown' : 'transient' };
  }
}

function failureOf(status: number): OpFailure {
  if (status === 401 || status === 403) return 'refused';
  if (status === 404) return 'not-found';
  return status === 408 || status === 429 || status >= 500 ? 'transient' : 'unknown';
}

/** Of the network. */
function isSystemError(cause: unknown): boolean {
  const code = isObject(cause) ? cause['code'] : undefined;
  return typeof code === 'string' && code !== 'ERR_INVALID_URL' && code !== 'ERR_INVALID_CHAR';
}

type Fields = Record<string, unknown>;

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function listOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Names in references have no case. */
function isSame(name: unknown, wanted: string): boolean {
  return typeof name === 'string' && name.toLowerCase() === wanted.toLowerCase();
}
