/** A mail server as far as a client sees it (RFC 5321): it keeps what it is given. */
import { createServer, type AddressInfo, type Socket } from 'node:net';

type Mail = { from: string; to: string[]; text: string; auth: string | null };
/** What it does at a command instead of the usual: answers so, says nothing more, or cuts the connection; `after-dot` once it has the mail. */
export type SmtpFault = { at: string; answer?: string; silent?: true; cut?: true };

export async function startSmtp() {
  const mails: Mail[] = [];
  const state: { fault: SmtpFault | null } = { fault: null };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    converse(socket, mails, () => state.fault);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    mails,
    state,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

const REPLIES: Readonly<Record<string, string>> = {
  EHLO: '250-localhost\r\n250 AUTH PLAIN',
  AUTH: '235 welcome',
  MAIL: '250 ok',
  RCPT: '250 ok',
  DATA: '354 go on',
  QUIT: '221 bye',
};

function converse(socket: Socket, mails: Mail[], faultOf: () => SmtpFault | null): void {
  let mail: Mail = { from: '', to: [], text: '', auth: null };
  let isData = false;
  let pending = '';
  const say = (at: string, usual: string): void => {
    const fault = faultOf();
    if (fault?.at !== at) socket.write(`${usual}\r\n`);
    else if (fault.cut === true) socket.destroy();
    else if (fault.answer !== undefined) socket.write(`${fault.answer}\r\n`);
  };
  const keep = (line: string): void => {
    if (line !== '.') {
      mail.text += `${line.replace(/^\./, '')}\n`;
      return;
    }
    isData = false;
    mails.push(mail);
    mail = { from: '', to: [], text: '', auth: mail.auth };
    say('after-dot', '250 taken');
  };
  const obey = (line: string): void => {
    const verb = line.split(/[ :]/)[0]?.toUpperCase() ?? '';
    if (verb === 'AUTH') mail.auth = Buffer.from(line.split(' ')[2] ?? '', 'base64').toString('utf8');
    if (verb === 'MAIL') mail.from = line;
    if (verb === 'RCPT') mail.to.push(/<(.*)>/.exec(line)?.[1] ?? '');
    isData = verb === 'DATA';
    say(verb, REPLIES[verb] ?? '502 what?');
    if (verb === 'QUIT') socket.end();
  };
  socket.on('data', (chunk: Buffer) => {
    pending += chunk.toString('utf8');
    const lines = pending.split('\r\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (isData) keep(line);
      else obey(line);
    }
  });
  say('greeting', '220 localhost');
}
