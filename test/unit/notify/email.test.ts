import { createEmail } from '../../../activities/notify/channels/email.js';
import type { ChannelOf } from '../../../activities/notify/channel.js';
import { channelSchema } from '../../../config/notify.js';
import { startSmtp, type SmtpFault } from '../../support/smtp.js';
import { ATTENTION, GATE, messageOf } from '../../support/notices.js';

const SECRET = 'smtp-password-0001';
let smtp: Awaited<ReturnType<typeof startSmtp>>;
beforeEach(async () => {
  smtp = await startSmtp();
});
afterEach(async () => {
  await smtp.stop();
});

const config = (more: object = {}): ChannelOf<'email'> =>
  channelSchema.parse({
    name: 'mail',
    kind: 'email',
    host: '127.0.0.1',
    port: smtp.port,
    tls: 'none',
    user: 'pgr',
    password: 'env:PW',
    from: 'pgr@example.com',
    to: ['ops@example.com', 'ana@example.com'],
    ...more,
  }) as ChannelOf<'email'>;
const email = (more: object = {}) => createEmail(config(more), () => Promise.resolve(SECRET));

test('a mail to everybody, signed in, with the facts and the commands', async () => {
  await expect(email().send(messageOf(GATE))).resolves.toEqual({ outcome: 'sent', memory: {} });
  const [mail] = smtp.mails;
  expect(mail?.to).toEqual(['ops@example.com', 'ana@example.com']);
  expect(mail?.auth).toBe(`\0pgr\0${SECRET}`);
  const text = (mail?.text ?? '').replace(/=\n/g, '');
  expect(text).toMatch(/^Subject: \[pgr\] promote of production waits for 2 approvals/m);
  expect(text).toContain('pgr approve production/change promote --code K7QF2M');
  expect(text).toMatch(/^Auto-Submitted: auto-generated$/m);
  expect(text).not.toContain(SECRET);
});

test('one conversation a run; a repeat has the same id and says that it is one', async () => {
  await email().send(messageOf(GATE));
  await email().send(messageOf(GATE, { unsure: 1 }));
  await email().send(messageOf(ATTENTION));
  const header = (name: string) => smtp.mails.map(({ text }) => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1]);
  expect(new Set(header('In-Reply-To')).size).toBe(1);
  const [first, second, third] = header('Message-ID');
  expect(second).toBe(first);
  expect(third).not.toBe(first);
  expect(smtp.mails.map(({ text }) => text.includes('may have been sent before'))).toEqual([false, true, false]);
});

test.each<[string, SmtpFault, string]>([
  ['signs us off', { at: 'AUTH', answer: '535 no' }, 'refused'],
  ['does not know the recipients', { at: 'RCPT', answer: '550 no such user' }, 'refused'],
  ['is greylisting', { at: 'RCPT', answer: '451 later' }, 'later'],
  ['is too busy', { at: 'greeting', answer: '421 busy' }, 'later'],
  ['breaks in the middle', { at: 'MAIL', cut: true }, 'unsure'],
  ['breaks when it has the mail', { at: 'after-dot', cut: true }, 'unsure'],
  ['says no to the mail', { at: 'after-dot', answer: '554 spam' }, 'refused'],
])('a server that %s', async (_title, fault, outcome) => {
  smtp.state.fault = fault;
  const delivery = await email().send(messageOf(GATE));
  expect(delivery).toMatchObject({ outcome });
  expect(JSON.stringify(delivery)).not.toContain(SECRET);
});

test('a server that is not there, and one without the encryption that the config asks for', async () => {
  await expect(email({ tls: 'starttls' }).send(messageOf(GATE))).resolves.toMatchObject({ outcome: 'refused' });
  expect(smtp.mails).toEqual([]);
  const gone = await startSmtp();
  await gone.stop();
  await expect(email({ port: gone.port }).send(messageOf(GATE))).resolves.toMatchObject({ outcome: 'later' });
});

test('a password without encryption is refused by the config, except to this machine', () => {
  const parse = (host: string) => channelSchema.safeParse({ ...config(), host });
  expect(parse('mail.example.com').success).toBe(false);
  expect(parse('127.0.0.1').success).toBe(true);
});
