/**
 * `cephgate client`: logs in over cephx as a client would, and shows the authorizer or the tickets
 * that come of it.
 */

import { webcrypto } from 'node:crypto';
import { CephxClientHandler, engineSealer } from '../cephx/client.ts';
import { type CryptoKey, decodeBase64, encodeBase64, type Sealer } from '../cephx/cryptokey.ts';
import { DecodeError } from '../cephx/denc.ts';
import { CephxHttpClient, type HttpOptions } from '../cephx/httpclient.ts';
import {
  ENTITY_TYPES,
  type EntityName,
  entityTypeName,
  formatEntityName,
  parseEntityName,
} from '../cephx/protocol.ts';
import { type ClientFailure, type HeldTicket, ServiceAuthorizer } from '../cephx/ticketmanager.ts';
import { Engine } from '../engine/engine.ts';
import { ConfigError } from '../errors.ts';
import { formatTime } from '../http/codec.ts';
import { findClientKey } from '../keyring/keyringsearch.ts';
import { placeOf } from './clientplace.ts';
import { EXIT_NO, EXIT_YES, type Io } from './io.ts';
import { type Flags, formatOptions, type Option, parseFlags, type Settings } from './options.ts';
import { CLIENT_OPTIONS, settingsOf } from './settings.ts';
import { keepTicket, keptTicket, ticketFile } from './ticketfile.ts';

const WHO_OPTIONS: readonly Option[] = [
  { name: 'name', value: 'NAME', help: 'who logs in, default client.admin' },
  { name: 'keyring', value: 'F', help: 'its keyring, default as Ceph finds one' },
  { name: 'json', help: 'print JSON' },
  ...CLIENT_OPTIONS,
];
const AUTHORIZER_OPTIONS: readonly Option[] = [
  { name: 'service', value: 'S', help: 'for whom: osd, mds, mgr, mon' },
  { name: 'challenge', value: 'B64', help: 'answer this challenge, with the ticket from before' },
  {
    name: 'tickets',
    value: 'FILE',
    help: 'where the ticket is kept for the answer, mode 0600; default under $HOME/.cache/cephgate',
  },
];

const CLIENT_HELP: string = `usage: cephgate client authorizer --service S [FLAGS]
       cephgate client tickets [FLAGS]

authorizer  logs in, gets a ticket for the service, and prints an authorizer in base64. With
            --challenge it does not log in but answers, with the ticket of the run before.
tickets     logs in and prints what tickets it got: ids, times, types of keys.
Exit code: 0 yes, 1 refused, 2 wrong usage, 3 trouble.

${formatOptions(WHO_OPTIONS)}
authorizer:
${formatOptions(AUTHORIZER_OPTIONS)}`;

export async function clientCommand(argv: readonly string[], io: Io): Promise<number> {
  const options = [...AUTHORIZER_OPTIONS, ...WHO_OPTIONS];
  const flags = parseFlags(argv, options);
  if (flags.help) {
    io.out(CLIENT_HELP);
    return EXIT_YES;
  }
  const run = commandOf(flags);
  const settings = settingsOf(options, flags, io.env);
  const text = settings.text('name') ?? 'client.admin';
  const name = parseEntityName(text);
  if (name === undefined) throw settings.wrong('name', 'TYPE.ID, as client.admin');
  const place = placeOf(settings);
  const engine = await Engine.create({ preset: 'small' });
  try {
    return await run({ io, settings, name, place, sealer: engineSealer(engine) });
  } finally {
    engine.wipe();
  }
}

interface Run {
  readonly io: Io;
  readonly settings: Settings;
  readonly name: EntityName;
  readonly place: HttpOptions;
  readonly sealer: Sealer;
}

function commandOf(flags: Flags): (run: Run) => Promise<number> {
  const [word, extra] = flags.words;
  if (extra !== undefined) throw new ConfigError('config.unknown', `unexpected word "${extra}"`);
  if (word === 'authorizer') return authorizerCommand;
  if (word !== 'tickets') {
    throw new ConfigError('config.unknown', 'expected "client authorizer" or "client tickets"');
  }
  const wrong = AUTHORIZER_OPTIONS.find((option) => flags.values.has(option.name));
  if (wrong !== undefined) {
    throw new ConfigError('config.unknown', `unknown flag of "client tickets": "--${wrong.name}"`);
  }
  return ticketsCommand;
}

async function authorizerCommand(run: Run): Promise<number> {
  const { io, settings, name, place, sealer } = run;
  const service = settings.required('service');
  const serviceId = SERVICES.includes(service) ? ENTITY_TYPES[service]! : undefined;
  if (serviceId === undefined) throw settings.wrong('service', `one of ${SERVICES.join(', ')}`);
  const file = settings.text('tickets') ?? ticketFile(io.env, name, place.url, service);
  const text = settings.text('challenge');
  if (text !== undefined) {
    const challenge = challengeOf(settings, text);
    const { ticket, globalId } = keptTicket(file, name, serviceId, clock());
    const authorizer = new ServiceAuthorizer(sealer, { ...ticket, globalId }, random);
    authorizer.first();
    const answer = authorizer.answer(challenge);
    authorizer.wipe();
    if (!answer.ok) return refused(run, 'cannot answer the challenge', answer);
    return print(run, answer.value, ticket, globalId);
  }
  return withClient(run, serviceId, async (handler) => {
    const found = handler.authorizer(serviceId);
    if (!found.ok) return refused(run, `cannot get a ticket for ${service}`, found);
    const { globalId } = handler.tickets;
    const ticket = handler.tickets.held(serviceId)!;
    if (file !== undefined) keepTicket(file, name, { ticket, globalId });
    const first = found.value.first();
    found.value.wipe();
    return print(run, first, ticket, globalId);
  });
}

async function ticketsCommand(run: Run): Promise<number> {
  const want = SERVICES.reduce((mask, service) => mask | ENTITY_TYPES[service]!, 0);
  return withClient(run, want, async (handler) => {
    const { io, settings, name } = run;
    const { globalId } = handler.tickets;
    const tickets = handler.tickets.list().map(describe);
    const entity = formatEntityName(name);
    if (settings.flag('json')) {
      const document = { entity, global_id: globalId.toString(), tickets };
      io.out(`${JSON.stringify(document, null, 2)}\n`);
    } else {
      io.out(`${entity}, global_id ${globalId}\n`);
      for (const { service, secret_id, session_key_type, renew_after, expires } of tickets) {
        const times = `renew after ${renew_after}  expires ${expires}`;
        io.out(`${service.padEnd(4)}  secret_id ${secret_id}  ${session_key_type}  ${times}\n`);
      }
    }
    return EXIT_YES;
  });
}

/** Logs in, with the tickets of the mask, and wipes everything in the end. */
async function withClient(
  run: Run,
  want: number,
  use: (handler: CephxClientHandler) => Promise<number>,
): Promise<number> {
  const { name, place, sealer } = run;
  const key = keyOf(run);
  const handler = new CephxClientHandler({ name, key, sealer, random, clock });
  try {
    const client = new CephxHttpClient(handler, place);
    const login = await client.login(want);
    if (!login.ok) return refused(run, `cannot log in as ${formatEntityName(name)}`, login);
    return await use(handler);
  } finally {
    handler.wipe();
    key.wipe();
  }
}

function keyOf({ io, settings, name }: Run): CryptoKey {
  const keyring = settings.text('keyring');
  const around = { env: io.env, ...(io.cwd !== undefined && { cwd: io.cwd }) };
  const { key } = findClientKey({ name, ...(keyring !== undefined && { keyring }) }, around);
  if (!key.usable) {
    const entity = formatEntityName(name);
    throw new ConfigError('config.value', `cannot log in as ${entity}: its key has no secret`);
  }
  return key;
}

function challengeOf(settings: Settings, text: string): Uint8Array {
  try {
    return decodeBase64(text);
  } catch (error) {
    if (error instanceof DecodeError) throw settings.wrong('challenge', 'base64');
    throw error;
  }
}

function print(run: Run, authorizer: Uint8Array, ticket: HeldTicket, globalId: bigint): number {
  const { io, settings, name } = run;
  const text = encodeBase64(authorizer);
  const entity = formatEntityName(name);
  const document = {
    authorizer: text,
    entity,
    global_id: globalId.toString(),
    ...describe(ticket),
  };
  io.out(settings.flag('json') ? `${JSON.stringify(document, null, 2)}\n` : `${text}\n`);
  return EXIT_YES;
}

/** What may be shown of a ticket. */
function describe(ticket: HeldTicket): Readonly<Record<(typeof SHOWN)[number], string>> {
  return {
    service: entityTypeName(ticket.serviceId)!,
    secret_id: ticket.blob.secretId.toString(),
    session_key_type: ticket.sessionKey.typeName!,
    renew_after: formatTime(ticket.renewAfterNs),
    expires: formatTime(ticket.expiresNs),
  };
}

function refused({ io, settings }: Run, action: string, failure: ClientFailure): number {
  const { reason, status } = failure;
  if (settings.flag('json')) {
    const errno = status === undefined ? {} : { client_errno: status };
    io.out(`${JSON.stringify({ reason: { code: reason }, ...errno }, null, 2)}\n`);
  }
  const shown = status === undefined ? '' : ` (${status})`;
  io.err(`cephgate client: ${action}: ${reason}${shown}\n`);
  return EXIT_NO;
}

function random(n: number): Uint8Array {
  return webcrypto.getRandomValues(new Uint8Array(n));
}

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

const SHOWN = ['service', 'secret_id', 'session_key_type', 'renew_after', 'expires'] as const;
const SERVICES: readonly string[] = ['mon', 'mds', 'osd', 'mgr'];
