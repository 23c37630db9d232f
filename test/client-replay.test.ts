/**
 * The client against sessions recorded from real clients and monitors (16.2.15, and the one login
 * of
 * 19.2.6): what the monitor sent and the random numbers that the client drew go in, and the
 * client's
 * messages must come out byte for byte.
 */

import { expect, test } from 'vitest';
import { ENTITY_TYPE_AUTH } from '../assembly/abi.ts';
import { CephxClientHandler, type ClientResult, type ClientStep } from '../src/cephx/client.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { decode, Writer } from '../src/cephx/denc.ts';
import { decodeAuthorizer, ENTITY_TYPES, parseEntityName } from '../src/cephx/protocol.ts';
import { ServiceAuthorizer } from '../src/cephx/ticketmanager.ts';
import { Lab, type LabAuthMessage, type LabSession, type LabTicket } from './lab.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';
import { twinSealer } from './twin/sealer.ts';

const SERVICES = ['mon', 'osd', 'mgr'];
const START_NS = 1_800_000_000_000_000_000n;

/** A client whose random u64s are those of the recording. */
class Replay {
  readonly handler: CephxClientHandler;
  readonly drawn: bigint[] = [];
  nowNs = START_NS;

  constructor(name: string, key: CryptoKey) {
    this.handler = new CephxClientHandler({
      name: parseEntityName(name)!,
      key,
      sealer: twinSealer,
      random: this.random,
      clock: () => this.nowNs,
    });
  }

  /** Confounders are not used under `aes`. */
  readonly random = (n: number): Uint8Array => {
    if (n !== 8) return new Uint8Array(n);
    return new Writer().u64(this.drawn.shift()!).finish();
  };
}

for (const [name, logins, connections, linked, values] of [
  ['vectors-v2-alpha.json', 32, 52, 44, 816],
  ['vectors-v1-gamma.json', 9, 8, 5, 233],
  // Its connections use tickets that were renewed before the recording ends.
  ['vectors-renewal-epsilon.json', 7, 3, 0, 218],
] as const) {
  test(`${name}: ${logins} logins, ${connections} connections, ${values} values`, () => {
    const lab = new Lab(name);
    const clients = new Map<string, Replay>();
    const seen = { logins: 0, connections: 0, linked: 0 };
    for (const session of lab.file.sessions) {
      if (session.authorizer_1 === undefined) seen.logins += logIn(lab, session, clients);
    }
    for (const session of lab.file.sessions) {
      if (session.authorizer_1 === undefined) continue;
      seen.linked += connect(lab, session, clients);
      seen.connections += 1;
    }
    expect({ ...seen, values: lab.compared }).toEqual({ logins, connections, linked, values });
  });
}

/** One recorded connection to the monitor, as far as it goes. Returns the number of logins. */
function logIn(lab: Lab, session: LabSession, clients: Map<string, Replay>): number {
  const { id } = session;
  const client = new Replay(session.entity.name, lab.entityKey(session.entity.name));
  const { handler } = client;
  let logins = 0;
  if (session.auth_mode === 'mon') {
    const { authenticate, auth_done: done, auth_request: request } = session;
    rememberOldTicket(client, session);
    lab.same('hello', id, toHex(handler.hello(authenticate!.other_keys)), request!.payload);
    client.drawn.push(BigInt(authenticate!.client_challenge));
    const sent = sentBy(handler.receive(fromHex(session.server_challenge!.raw)));
    // One client was given a wrong key, which is not recorded.
    if (session.proof_matches === false) return 0;
    lab.same('authenticate', id, sent, authenticate!.raw);
    if (done === undefined) return 0;
    const { global_id, con_mode } = done as typeof done & Record<string, string>;
    const connection = con_mode === '2' || session.connection_secret?.length ? 'secure' : 'crc';
    const frame = { globalId: BigInt(global_id!), connection } as const;
    const step = handler.receive(fromHex(done.payload), frame);
    expect([id, step]).toMatchObject([id, { ok: true, value: { kind: 'login' } }]);
    if (step.ok && step.value.kind === 'login') {
      const secret = toHex(step.value.connectionSecret);
      lab.same('connection secret', id, secret, session.connection_secret);
    }
    const extra = done.extra_tickets?.tickets ?? [];
    compareTickets(lab, client, id, [...done.reply.tickets, ...extra]);
    clients.set(global_id!, client);
    logins += 1;
  }
  for (const [i, message] of (session.auth_messages ?? []).entries()) {
    logins += onMessage(lab, client, session, message);
    const { global_id } = message as LabAuthMessage & Record<string, string>;
    if (i > 0 && global_id !== undefined) clients.set(global_id, client);
  }
  return logins;
}

/** MAuth and MAuthReply. Returns the number of logins. */
function onMessage(lab: Lab, client: Replay, session: LabSession, message: LabAuthMessage): number {
  const { handler } = client;
  const { id } = session;
  const payload = fromHex(message.payload);
  const globalId = BigInt((message as { global_id?: string }).global_id ?? 0);
  if (message.kind === 'server_challenge') {
    const next = session.auth_messages!.find((each) => each.kind === 'authenticate')!;
    handler.hello(next.other_keys);
    client.drawn.push(BigInt(next.client_challenge!));
    const sent = sentBy(handler.receive(payload));
    if (next.proof_matches === false) return 0;
    lab.same('authenticate', id, sent, next.payload);
  } else if (message.kind === 'authenticate' && session.auth_mode === 'mon') {
    // On an open connection: the AUTH ticket is three quarters old.
    client.nowNs = handler.tickets.held(ENTITY_TYPE_AUTH)!.renewAfterNs;
    client.drawn.push(BigInt(message.client_challenge!));
    const sent = handler.authenticate(message.other_keys);
    lab.same('authenticate again', id, bytesOf(sent), message.payload);
  } else if (message.kind === 'authenticate_reply') {
    const step = handler.receive(payload, { globalId, connection: 'none' });
    expect([id, step]).toMatchObject([id, { ok: true, value: { kind: 'login' } }]);
    const extra = message.extra_tickets?.tickets ?? [];
    compareTickets(lab, client, id, [...message.reply!.tickets, ...extra]);
    return 1;
  } else if (message.kind === 'get_principal_session_key') {
    client.drawn.push(BigInt(message.authorizer!.authorize.nonce));
    const sent = handler.requestTickets(message.ticket_request!.keys);
    lab.same('ticket request', id, bytesOf(sent), message.payload);
  } else if (message.kind === 'principal_session_key_reply') {
    const step = handler.receive(payload);
    expect(step).toEqual({ ok: true, value: { kind: 'tickets' } });
    compareTickets(lab, client, id, message.reply!.tickets);
  } else if (message.kind === 'get_rotating_key') {
    lab.same('rotating request', id, bytesOf(handler.requestRotating(false)), message.payload);
  } else if (message.kind === 'rotating_key_reply') {
    const step = handler.receive(payload);
    if (!step.ok || step.value.kind !== 'rotating') throw new Error('no rotating secrets');
    for (const secret of message.rotating_secrets!.secrets) {
      const found = step.value.rotating.secrets.get(BigInt(secret.id))!;
      lab.same('rotating secret', id, found.key.toBase64(), secret.key.encoded);
    }
  }
  return 0;
}

/** A client that claims its global_id holds the AUTH ticket that it sent along. */
function rememberOldTicket(client: Replay, session: LabSession): void {
  const opened = session.old_ticket_opened;
  if (opened === undefined) return;
  const { secret_id, blob } = session.authenticate!.old_ticket;
  const { tickets } = client.handler;
  tickets.globalId = BigInt(session.auth_request!.global_id);
  const grant = {
    serviceId: ENTITY_TYPE_AUTH,
    sessionKey: CryptoKey.fromBase64(opened.fields.session_key.encoded),
    validity: { seconds: 1, nanoseconds: 0 },
    blob: { secretId: BigInt(secret_id), blob: fromHex(blob) },
  };
  tickets.take([grant], START_NS - 2_000_000_000n);
}

function compareTickets(lab: Lab, client: Replay, id: string, tickets: LabTicket[]): void {
  for (const expected of tickets) {
    const held = client.handler.tickets.held(expected.service_id)!;
    lab.same('session key', id, held.sessionKey.toBase64(), expected.session_key.encoded);
    lab.same('ticket', id, toHex(held.blob.blob), expected.ticket_blob.blob);
    lab.same('secret_id', id, held.blob.secretId, BigInt(expected.ticket_blob.secret_id));
    const { sec, nsec } = expected.validity;
    const validityNs = BigInt(sec) * 1_000_000_000n + BigInt(nsec);
    lab.same('expires', id, held.expiresNs, client.nowNs + validityNs);
    const quarterNs = (BigInt(sec) * 1_000_000_000n) / 4n;
    lab.same('renew_after', id, held.renewAfterNs, client.nowNs + validityNs - quarterNs);
  }
}

/** A recorded connection to a service. Returns 1 if its ticket came out of a recorded login. */
function connect(lab: Lab, session: LabSession, clients: Map<string, Replay>): number {
  const { id } = session;
  const first = session.authorizer_1!;
  const second = session.authorizer_2!;
  const client = clients.get(first.global_id);
  const serviceId = ENTITY_TYPES[session.service]!;
  const held = client?.handler.tickets.held(serviceId);
  const isLinked = held !== undefined && toHex(held.blob.blob) === first.ticket_blob.blob;
  const drawn = isLinked ? client!.drawn : [];
  drawn.push(BigInt(first.authorize.nonce), BigInt(second.authorize.nonce));
  const random = (n: number): Uint8Array =>
    n === 8 ? new Writer().u64(drawn.shift()!).finish() : new Uint8Array(n);
  const sessionKey = CryptoKey.fromBase64(first.ticket.fields.session_key.encoded);
  const { secret_id, blob } = first.ticket_blob;
  const ticketBlob = { secretId: BigInt(secret_id), blob: fromHex(blob) };
  const ticket = { globalId: BigInt(first.global_id), serviceId, sessionKey, blob: ticketBlob };
  const found = isLinked ? client!.handler.authorizer(serviceId) : undefined;
  const authorizer = found?.ok ? found.value : new ServiceAuthorizer(twinSealer, ticket, random);

  lab.same('authorizer', id, toHex(authorizer.first()), first.raw);
  const answer = authorizer.answer(fromHex(session.authorizer_challenge!.encrypted));
  lab.same('authorizer with answer', id, bytesOf(answer), second.raw);
  const expected = session.authorizer_reply!.connection_secret;
  const secure = expected !== '';
  const reply = authorizer.verifyReply(fromHex(session.authorizer_reply!.raw), { secure });
  lab.same('connection secret', id, bytesOf(reply), expected);
  expect(authorizer.isProved).toBe(true);
  return isLinked && found?.ok ? 1 : 0;
}

interface Capture {
  op: string;
  client_key: string;
  auth_done: string;
  global_id: number;
  con_mode: number;
  connection_secret?: string;
  session_keys: Record<string, string>;
  session_key: string;
  authorizer1: string;
  challenge: string;
  reply: string;
  expect: Record<string, string>;
}

test('19.2.6: logins under aes256k give the recorded session keys', () => {
  const { vectors } = loadVectors<{ vectors: Capture[] }>('crypto-capture-19.2.6.json');
  const logins = vectors.filter((each) => each.op === 'capture-auth-done');
  expect(logins.length).toBe(2);
  for (const login of logins) {
    const client = new Replay('client.x', CryptoKey.fromBase64(login.client_key));
    const { handler } = client;
    client.drawn.push(1n);
    handler.hello(SERVICES.reduce((mask, name) => mask | ENTITY_TYPES[name]!, 0));
    sentBy(handler.receive(fromHex('010100000000000000')));
    const connection = login.con_mode === 2 ? 'secure' : 'crc';
    const frame = { globalId: BigInt(login.global_id), connection } as const;
    const step = handler.receive(fromHex(login.auth_done), frame);
    if (!step.ok || step.value.kind !== 'login') throw new Error(JSON.stringify(step));
    expect(toHex(step.value.connectionSecret)).toBe(login.connection_secret ?? '');
    for (const name of [...SERVICES, 'auth']) {
      const held = handler.tickets.held(ENTITY_TYPES[name]!)!;
      expect(held.sessionKey.toBase64()).toBe(login.session_keys[name]);
    }
  }
});

test('19.2.6: an OSD proves itself under aes256k', () => {
  const { vectors } = loadVectors<{ vectors: Capture[] }>('crypto-capture-19.2.6.json');
  const capture = vectors.find((each) => each.op === 'capture-authorizer')!;
  const { globalId, serviceId, ticket } = decode(
    decodeAuthorizer,
    fromHex(capture.authorizer1),
    'reject',
  );
  const drawn = [BigInt(capture.expect.nonce1!), BigInt(capture.expect.nonce2!)];
  // The confounders of the recording are not known here: another test builds the same bytes.
  const random = (n: number): Uint8Array =>
    n === 8 ? new Writer().u64(drawn.shift()!).finish() : new Uint8Array(n);
  const sessionKey = CryptoKey.fromBase64(capture.session_key);
  const owner = { globalId, serviceId, sessionKey, blob: ticket };
  const authorizer = new ServiceAuthorizer(twinSealer, owner, random);
  authorizer.first();
  // A msgr2 frame carries the challenge with a length.
  const challenge = fromHex(capture.challenge).subarray(4);
  expect(authorizer.answer(challenge).ok).toBe(true);
  const secret = authorizer.verifyReply(fromHex(capture.reply), { secure: true });
  expect([secret.ok, authorizer.isProved]).toEqual([true, true]);
});

function sentBy(step: ClientResult<ClientStep>): string {
  if (!step.ok) return step.reason;
  return step.value.kind === 'send' ? toHex(step.value.payload) : step.value.kind;
}

function bytesOf(result: ClientResult<Uint8Array>): string {
  return result.ok ? toHex(result.value) : result.reason;
}
