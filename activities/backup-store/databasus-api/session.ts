/** A signed-in user. The token (a JWT that the controller gives for ten years) stays in memory and is asked for again when it is refused. */
import type { Patience } from '../s3-retry.js';
import type { ApiAnswer, ApiDownload, ApiRequest, Http } from './http.js';
import { patiently } from './patience.js';
import { notUnderstood, refusal, signInRefusal } from './refusals.js';

export type Credentials = { email: string; password: string };

export type Session = {
  where: string;
  email: string;
  /**
   * The answer to a request of this user, tried again while the controller does not answer. Statuses in `expected` are answers; any other is
   * a failure (see refusals.ts).
   */
  ask(request: Omit<ApiRequest, 'bearer'>, what: string, expected?: readonly number[]): Promise<ApiAnswer>;
  /** A download by a token of its own; not tried again here. */
  download(path: string): Promise<ApiDownload>;
};

/** A session that signs in with its first request. */
export function createSession(http: Http, credentials: Credentials, patience: Patience): Session {
  let bearer: Promise<string> | null = null;
  const token = (): Promise<string> => {
    bearer ??= signIn(http, credentials).catch((error: unknown) => {
      bearer = null;
      throw error;
    });
    return bearer;
  };
  return {
    where: http.where,
    email: credentials.email,
    download: (path) => http.download(path),
    ask: (request, what, expected = [200]) =>
      patiently(patience, async () => {
        let answer = await http.ask({ ...request, bearer: await token() });
        if (answer.status === 401) {
          // A password that was changed, or a controller made anew, ends every token.
          bearer = null;
          answer = await http.ask({ ...request, bearer: await token() });
        }
        if (expected.includes(answer.status)) return answer;
        throw refusal(http.where, what, answer);
      }),
  };
}

async function signIn(http: Http, { email, password }: Credentials): Promise<string> {
  const answer = await http.ask({ method: 'POST', path: '/users/signin', body: { email, password } });
  if (answer.status !== 200) throw signInRefusal(http.where, email, answer);
  const { body } = answer;
  if (typeof body === 'object' && body !== null && 'token' in body && typeof body.token === 'string') return body.token;
  throw notUnderstood(http.where, 'sign in', 'there is no token in it');
}
