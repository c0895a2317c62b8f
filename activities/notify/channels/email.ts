/**
 * E-mail by SMTP. All mails of a run refer to one id, so that mail programs show them as one conversation; each has a Message-ID that is the same
 * on every attempt, by which many servers drop a repeat.
 */
import { createHash } from 'node:crypto';
import { createTransport } from 'nodemailer';

import {
  URGENT_EVENTS,
  type Channel,
  type ChannelOf,
  type Delivery,
  type Message,
  type ResolveSecret,
} from '../channel.js';
import { fieldOf } from '../http.js';
import { plainText } from '../plain-text.js';

/** A mail server that is slower than this is tried again. */
const CONNECT_MS = 5_000;
const SILENCE_MS = 10_000;

type Config = ChannelOf<'email'>;

export function createEmail(config: Config, resolveSecret: ResolveSecret): Channel {
  return {
    defaultEvents: URGENT_EVENTS,
    isRepeatable: false,
    async send(message): Promise<Delivery> {
      const { user, password, host, port, tls } = config;
      const auth =
        user === undefined || password === undefined ? {} : { auth: { user, pass: await resolveSecret(password) } };
      const transport = createTransport({
        host,
        port,
        secure: tls === 'implicit',
        requireTLS: tls === 'starttls',
        ignoreTLS: tls === 'none',
        connectionTimeout: CONNECT_MS,
        greetingTimeout: CONNECT_MS,
        socketTimeout: SILENCE_MS,
        // A mail is text: no file and no address is ever fetched for it.
        disableFileAccess: true,
        disableUrlAccess: true,
        ...auth,
      });
      try {
        await transport.sendMail(mailOf(message, config));
        return { outcome: 'sent', memory: {} };
      } catch (error) {
        return afterError(error);
      } finally {
        transport.close();
      }
    },
  };
}

/** Fields of the mail; pure. */
function mailOf(message: Message, { from, to }: Pick<Config, 'from' | 'to'>) {
  const { subject, text, key } = message;
  const domain = from.split('@')[1]?.replace(/[^A-Za-z0-9.-]/g, '') ?? 'pgr.invalid';
  const idOf = (of: string): string => `<pgr.${createHash('sha256').update(of).digest('hex').slice(0, 32)}@${domain}>`;
  const conversation = idOf(`${subject.run}/${subject.runId}`);
  return {
    from,
    to,
    subject: `[pgr] ${text.title}`,
    text: `${text.title}\n\n${plainText(message)}\n`,
    messageId: idOf(key),
    references: conversation,
    inReplyTo: conversation,
    priority: text.urgency === 'page' ? ('high' as const) : ('normal' as const),
    // Answering machines do not answer (RFC 3834).
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Pgr-Event': message.notice.event },
  };
}

/**
 * What is certain after an error of the library: its code, the call that failed, the number that the server gave. What SMTP was at is not among
 * it: a connection that breaks after the mail was handed over is reported as one that broke at the start.
 */
function afterError(error: unknown): Delivery {
  const [code, syscall, response] = ['code', 'syscall', 'responseCode'].map((field) => fieldOf(error, field));
  if (typeof response === 'number') {
    const why = `smtp status ${String(response)}`;
    // 4yz is transient, 5yz is not (RFC 5321, section 4.2.1).
    return response >= 500 ? { outcome: 'refused', why } : { outcome: 'later', why, afterSeconds: null };
  }
  const why = typeof code === 'string' ? code : 'unknown';
  if (code === 'EAUTH') return { outcome: 'refused', why };
  if (syscall === 'connect' || code === 'EDNS' || code === 'ETLS') return { outcome: 'later', why, afterSeconds: null };
  return { outcome: 'unsure', why };
}
