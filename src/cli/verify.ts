/**
 * `cephgate verify`: asks a sidecar who an authorizer's client is, or with `--offline` looks into
 * the authorizer here.
 */

import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { ConfigError, FileError } from '../errors.ts';
import { decodeHex, encodeBase64 } from '../http/codec.ts';
import { codeOf } from '../http/files.ts';
import { EXIT_YES, type Io } from './io.ts';
import { OFFLINE_OPTIONS, verifyOffline } from './offline.ts';
import { formatOptions, type Option, parseFlags, refuseWords } from './options.ts';
import { call, printDecision } from './request.ts';
import { CLIENT_OPTIONS, settingsOf } from './settings.ts';

const SUBJECT_OPTIONS: readonly Option[] = [
  { name: 'service', value: 'S', help: 'the service that asks: osd, mds, mgr' },
  { name: 'authorizer', value: 'F|-', help: 'file with the authorizer: base64, hex or raw bytes' },
  { name: 'peer', value: 'ADDR', help: 'address of the client' },
  { name: 'json', help: 'print JSON' },
];
const CALL_OPTIONS: readonly Option[] = [
  { name: 'connection', value: 'NAME', help: 'name of the connection, never used again' },
  { name: 'challenge-state', value: 'STATE', help: 'from the previous answer' },
  { name: 'expected-challenge', value: 'N', help: 'the challenge that the node issued itself' },
  { name: 'receipt', value: 'RECEIPT', help: 'from an earlier answer on this connection' },
  { name: 'secure', help: 'ask for a connection secret' },
  {
    name: 'allow-unchallenged-verdict',
    help: 'ask for a verdict without a challenge',
  },
  ...CLIENT_OPTIONS,
];

export const VERIFY_HELP: string = `usage: cephgate verify --service S --authorizer F|- [FLAGS]
       cephgate verify --offline --service S --secrets F --authorizer F|- [FLAGS]

Asks a sidecar who the client of an authorizer is. With --offline no sidecar is asked: the
authorizer is examined here, with the clock and challenge that are given.
Exit code: 0 yes, 1 no, 2 wrong usage, 3 trouble.

${formatOptions(SUBJECT_OPTIONS)}
to a sidecar:
${formatOptions(CALL_OPTIONS)}
offline:
  --offline
${formatOptions(OFFLINE_OPTIONS)}`;

export async function verifyCommand(argv: readonly string[], io: Io): Promise<number> {
  const offline = argv.includes('--offline');
  const options = [...SUBJECT_OPTIONS, ...(offline ? OFFLINE_OPTIONS : CALL_OPTIONS)];
  const flags = parseFlags(
    argv.filter((word) => word !== '--offline'),
    argv.some((word) => word === '--help' || word === '-h')
      ? [...options, ...OFFLINE_OPTIONS, ...CALL_OPTIONS]
      : options,
  );
  if (flags.help) {
    io.out(VERIFY_HELP);
    return EXIT_YES;
  }
  refuseWords(flags);
  const settings = settingsOf(options, flags, io.env);
  const service = settings.required('service');
  const authorizer = await readAuthorizer(settings.required('authorizer'), io);
  const json = settings.flag('json');
  if (offline) return verifyOffline(io, settings, { service, authorizer, json });
  const document = await call(settings, '/v1/verify', {
    service,
    authorizer: encodeBase64(authorizer),
    peer: settings.text('peer'),
    connection: settings.text('connection'),
    challenge_state: settings.text('challenge-state'),
    expected_challenge: settings.text('expected-challenge'),
    receipt: settings.text('receipt'),
    secure: settings.flag('secure') || undefined,
    allow_unchallenged_verdict: settings.flag('allow-unchallenged-verdict') || undefined,
  });
  return printDecision(io, document, json);
}

/**
 * The bytes of an authorizer in a file: hex or base64 if all of it is text of that kind, else the
 * bytes as they are (an authorizer's first byte, 1 to 9, is no text).
 */
export async function readAuthorizer(path: string, io: Io): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = path === '-' ? await io.readInput() : Uint8Array.from(readFileSync(path));
  } catch (error) {
    throw new FileError('file.missing', `cannot read "${path}": ${codeOf(error)}`);
  }
  const text = new TextDecoder('latin1').decode(bytes).replace(/[\r\n\t ]/g, '');
  if (text === '') throw new ConfigError('config.value', `there is no authorizer in "${path}"`);
  // An authorizer in base64 begins with "A": version 1 to 9 in the first byte. In hex with "0".
  const hex = text.startsWith('0') ? decodeHex(text) : undefined;
  if (hex !== undefined) return hex;
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0;
  return isBase64 ? Uint8Array.from(Buffer.from(text, 'base64')) : bytes;
}
