/**
 * Sessions recorded from a real Ceph 16.2.15 (vectors-v2-alpha, vectors-v1-gamma,
 * vectors-renewal-epsilon): every intermediate value of cephx in them is computed again, in both
 * directions. `aes` sealing is deterministic, so what is built must equal the recorded bytes.
 */

import { expect, test } from 'vitest';
import * as abi from '../assembly/abi.ts';
import {
  buildAuthorizer,
  challengeHash,
  challengeHashMatches,
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeChallenge,
  sealAuthorizeReply,
} from '../src/cephx/authorizer.ts';
import { CryptoKey, openObject } from '../src/cephx/cryptokey.ts';
import { decode, encode, Reader, Writer } from '../src/cephx/denc.ts';
import * as protocol from '../src/cephx/protocol.ts';
import {
  encodeMessageBlock,
  handshakeSignature,
  messageSignature,
} from '../src/cephx/signature.ts';
import {
  openConnectionSecret,
  openRotatingSecrets,
  openServiceTicket,
  openTicketReply,
  type ServiceTicketGrant,
  sealConnectionSecret,
  sealRotatingSecrets,
  sealServiceTicket,
  sealTicketReply,
} from '../src/cephx/ticket.ts';
import {
  Lab,
  type LabAuthenticate,
  type LabAuthMessage,
  type LabAuthorizer,
  type LabMessage,
  type LabOpened,
  type LabReply,
  type LabSecret,
  type LabSession,
  type LabTicket,
  type LabTime,
} from './lab.ts';
import { fromHex, toHex } from './twin/load.ts';
import { concat, twinSealer } from './twin/sealer.ts';
import { verify } from './twin/verify.ts';

/** `aes` takes no randomness, so zeros must do. */
const zeros = (n: number): Uint8Array => new Uint8Array(n);
const timeText = (time: LabTime): string => `${time.sec}.${time.nsec}`;
const aesKey = (secret: string): CryptoKey =>
  new CryptoKey(abi.KEY_TYPE_AES, { seconds: 0, nanoseconds: 0 }, fromHex(secret));

for (const [name, sessions, values] of [
  ['vectors-v2-alpha.json', 87, 6087],
  ['vectors-v1-gamma.json', 18, 1542],
  ['vectors-renewal-epsilon.json', 9, 1189],
] as const) {
  test(`${name}: ${values} values of cephx, both ways`, () => {
    const lab = new Lab(name);
    rotatingRecords(lab);
    for (const session of lab.file.sessions) {
      if (session.auth_mode === 'mon') login(lab, session);
      if (session.authorizer_1 !== undefined) authorizerExchange(lab, session);
      for (const message of session.messages ?? []) messageSignatures(lab, session, message);
      authMessages(lab, session);
      handshakeSignatures(lab, session);
    }
    expect([lab.file.sessions.length, lab.compared]).toEqual([sessions, values]);
  });
}

/** Login to a monitor over msgr2: each payload decoded, compared, built again. */
function login(lab: Lab, session: LabSession): void {
  const { id } = session;
  const payload = fromHex(session.auth_request!.payload);
  const hello = decode(protocol.decodeLoginHello, payload, 'reject');
  lab.same('login name', id, protocol.formatEntityName(hello.name), session.entity.name);
  lab.same('login global_id', id, hello.globalId, BigInt(session.auth_request!.global_id));
  lab.same('login bytes', id, toHex(encode(protocol.encodeLoginHello, hello)), toHex(payload));

  const challengeRaw = fromHex(session.server_challenge!.raw);
  const server = decode(protocol.decodeServerChallenge, challengeRaw, 'reject');
  lab.same('server challenge', id, server, BigInt(session.server_challenge!.server_challenge));
  const again = encode(protocol.encodeServerChallenge, server);
  lab.same('server challenge bytes', id, toHex(again), session.server_challenge!.raw);

  const { authenticate } = session;
  authenticateMessage(lab, id, authenticate!.raw, authenticate!);
  const key = lab.entityKey(session.entity.name);
  proof(lab, id, key, server, authenticate!, session.proof_matches ?? true);
  if (session.auth_done === undefined) return;
  const old = session.old_ticket_opened;
  const oldKey = old && CryptoKey.fromBase64(old.fields.session_key.encoded);
  loginReply(lab, session, session.auth_done.payload, session.auth_done, key, oldKey);
}

function authenticateMessage(lab: Lab, id: string, raw: string, expected: LabAuthenticate): void {
  const reader = new Reader(fromHex(raw));
  lab.same('request type', id, protocol.decodeRequestHeader(reader), protocol.GET_AUTH_SESSION_KEY);
  const message = protocol.decodeAuthenticate(reader);
  reader.end();
  lab.same('authenticate v', id, message.version, expected.struct_v);
  lab.same('client challenge', id, message.clientChallenge, BigInt(expected.client_challenge));
  lab.same('proof sent', id, message.key, BigInt(expected.key));
  lab.same('old ticket', id, toHex(message.oldTicket.blob), expected.old_ticket.blob);
  lab.same('other_keys', id, message.otherKeys, expected.other_keys);
  const out = new Writer();
  protocol.encodeRequestHeader(out, protocol.GET_AUTH_SESSION_KEY);
  protocol.encodeAuthenticate(out, message);
  lab.same('authenticate bytes', id, toHex(out.finish()), raw);
}

function proof(
  lab: Lab,
  id: string,
  key: CryptoKey,
  server: bigint,
  message: LabAuthenticate,
  matches: boolean,
): void {
  const challenges = { server, client: BigInt(message.client_challenge) };
  const presented = BigInt(message.key);
  lab.same('proof', id, challengeHash(twinSealer, key, challenges) === presented, matches);
  lab.same('proof', id, challengeHashMatches(twinSealer, key, challenges, presented), matches);
}

/** CephXResponseHeader, AUTH ticket and, if other keys were asked for, secret and tickets. */
function loginReply(
  lab: Lab,
  session: LabSession,
  payload: string,
  expected: LabReply,
  key: CryptoKey,
  oldKey: CryptoKey | undefined,
): void {
  const { id } = session;
  const reader = new Reader(fromHex(payload));
  const header = protocol.decodeResponseHeader(reader);
  const grants = openTicketReply(twinSealer, key, reader, oldKey);
  compareGrants(lab, id, grants, expected.reply.tickets);
  const out = new Writer();
  protocol.encodeResponseHeader(out, header);
  out.bytes(sealTicketReply(twinSealer, key, grants, zeros, oldKey));

  const authKey = grants[0]!.sessionKey;
  if (reader.left > 0) {
    const cbl = reader.bl();
    const extra = reader.bl();
    lab.same('cbl', id, toHex(cbl), expected.connection_secret_encrypted);
    if (cbl.length > 0) {
      const secret = openConnectionSecret(twinSealer, authKey, cbl);
      lab.same('connection secret', id, toHex(secret), session.connection_secret);
      out.bl(sealConnectionSecret(twinSealer, authKey, secret, zeros));
    } else out.bl(cbl);
    const extras =
      extra.length === 0 ? [] : openTicketReply(twinSealer, authKey, new Reader(extra));
    compareGrants(lab, id, extras, expected.extra_tickets?.tickets ?? []);
    out.bl(extra.length === 0 ? extra : sealTicketReply(twinSealer, authKey, extras, zeros));
  }
  reader.end();
  lab.same('login reply bytes', id, toHex(out.finish()), payload);
}

/** Each ticket of a reply, its secret part, its blob opened with the service's secret. */
function compareGrants(
  lab: Lab,
  id: string,
  grants: readonly ServiceTicketGrant[],
  expected: readonly LabTicket[],
): void {
  lab.same('tickets', id, grants.length, expected.length);
  for (const [i, grant] of grants.entries()) {
    const ticket = expected[i]!;
    lab.same('ticket service', id, grant.serviceId, ticket.service_id);
    lab.same('session key', id, grant.sessionKey.toBase64(), ticket.session_key.encoded);
    const { seconds: sec, nanoseconds: nsec } = grant.validity;
    lab.same('validity', id, timeText({ sec, nsec }), timeText(ticket.validity));
    lab.same('secret_id', id, grant.blob.secretId, BigInt(ticket.ticket_blob.secret_id));
    lab.same('ticket blob', id, toHex(grant.blob.blob), ticket.ticket_blob.blob);
    const part = concat(ENVELOPE, encode(protocol.encodeServiceTicket, grant));
    lab.same('secret part', id, toHex(part), ticket.secret_part_plaintext);
    openedTicket(lab, id, grant.blob, ticket.ticket);
  }
}

/** A ticket blob opened, every field, and sealed again to the same bytes. */
function openedTicket(lab: Lab, id: string, blob: protocol.TicketBlob, opened: LabOpened): void {
  const secret = lab.secret(opened.opened_with.service, opened.opened_with.secret_id);
  const info = openServiceTicket(twinSealer, secret, blob.blob);
  const { ticket } = info;
  const { fields } = opened;
  lab.same('ticket name', id, protocol.formatEntityName(ticket.name), fields.name.name);
  lab.same('ticket global_id', id, ticket.globalId, BigInt(fields.global_id));
  lab.same('auid', id, ticket.auid, BigInt(fields.old_auid));
  for (const [at, time] of [
    [fields.created, ticket.created],
    [fields.expires, ticket.expires],
  ] as const) {
    lab.same('ticket time', id, `${time.seconds}.${time.nanoseconds}`, timeText(at));
  }
  lab.same('allow_all', id, ticket.caps.allowAll, fields.allow_all !== 0);
  lab.same('caps buffer', id, toHex(ticket.caps.caps), fields.caps_raw);
  lab.same('caps text', id, protocol.capsText(ticket.caps.caps) ?? null, fields.caps);
  lab.same('flags', id, ticket.flags, fields.flags);
  lab.same('ticket session key', id, info.sessionKey.toBase64(), fields.session_key.encoded);
  const plaintext = concat(ENVELOPE, encode(protocol.encodeServiceTicketInfo, info));
  lab.same('ticket plaintext', id, toHex(plaintext), opened.plaintext);
  const sealed = sealServiceTicket(twinSealer, secret, blob.secretId, info, zeros);
  lab.same('ticket re-sealed', id, toHex(sealed.blob), toHex(blob.blob));
}

/** Authorizer, challenge, second authorizer, reply; and the verdicts of the twin on both. */
function authorizerExchange(lab: Lab, session: LabSession): void {
  const { id } = session;
  const first = authorizerBytes(lab, id, session.authorizer_1!, undefined);
  lab.same('session key', id, toHex(first.secret), session.session_key);
  const { authorizer_challenge: sent, authorizer_2: second, authorizer_reply: reply } = session;
  const challenge = openAuthorizeChallenge(twinSealer, first, fromHex(sent!.encrypted));
  lab.same('authorizer challenge', id, challenge, BigInt(sent!.server_challenge));
  const resealed = sealAuthorizeChallenge(twinSealer, first, challenge, zeros);
  lab.same('authorizer challenge bytes', id, toHex(resealed), sent!.encrypted);

  authorizerBytes(lab, id, second!, challenge);
  const nonce = BigInt(second!.authorize.nonce);
  const secret = openAuthorizeReply(twinSealer, first, nonce, fromHex(reply!.raw));
  lab.same('reply connection secret', id, toHex(secret), reply!.connection_secret);
  const answer = sealAuthorizeReply(twinSealer, first, nonce, secret, zeros);
  lab.same('reply bytes', id, toHex(answer), reply!.raw);
  expect(() => openAuthorizeReply(twinSealer, first, nonce + 1n, fromHex(reply!.raw))).toThrow(
    'reply.nonce',
  );
  for (const plausibility of ['released', 'pr71231-order', 'pr71231-span', 'strict'] as const) {
    twinVerdicts(lab, session, plausibility, challenge);
  }
  for (const [i, { connect, reply: answered }] of (session.connects ?? []).entries()) {
    const authorizer = i === 0 ? session.authorizer_1! : second!;
    lab.same('msgr1 authorizer', id, connect.authorizer, authorizer.raw);
    lab.same('msgr1 reply', id, answered.reply, i === 0 ? sent!.encrypted : reply!.raw);
  }
}

/** Decodes an authorizer, opens all of it, builds it again. Returns the session key. */
function authorizerBytes(
  lab: Lab,
  id: string,
  expected: LabAuthorizer,
  serverChallenge: bigint | undefined,
): CryptoKey {
  const authorizer = decode(protocol.decodeAuthorizer, fromHex(expected.raw), 'reject');
  lab.same('authorizer global_id', id, authorizer.globalId, BigInt(expected.global_id));
  lab.same('authorizer service', id, authorizer.serviceId, expected.service_id);
  lab.same('authorizer blob', id, toHex(authorizer.ticket.blob), expected.ticket_blob.blob);
  lab.same('authorizer part b', id, toHex(authorizer.sealed), expected.encrypted_authorize);
  openedTicket(lab, id, authorizer.ticket, expected.ticket);
  const sessionKey = CryptoKey.fromBase64(expected.ticket.fields.session_key.encoded);
  const options = { prefixed: false };
  const usage = abi.USAGE_AUTHORIZE;
  const object = openObject(twinSealer, sessionKey, usage, authorizer.sealed, options);
  lab.same('authorize', id, toHex(concat(ENVELOPE, object)), expected.authorize_plaintext);
  const authorize = decode(protocol.decodeAuthorize, object, 'reject');
  lab.same('nonce', id, authorize.nonce, BigInt(expected.authorize.nonce));
  const { have_challenge, server_challenge_plus_one } = expected.authorize;
  lab.same('have_challenge', id, authorize.answer!.haveChallenge, have_challenge !== 0);
  lab.same('plus_one', id, authorize.answer!.plusOne, BigInt(server_challenge_plus_one));
  const { globalId, serviceId, ticket: blob } = authorizer;
  const ticket = { globalId, serviceId, sessionKey, blob };
  const built = buildAuthorizer(twinSealer, ticket, authorize.nonce, zeros, serverChallenge);
  lab.same('authorizer bytes', id, toHex(built), expected.raw);
  return sessionKey;
}

function twinVerdicts(
  lab: Lab,
  session: LabSession,
  plausibility: 'released' | 'pr71231-order' | 'pr71231-span' | 'strict',
  challenge: bigint,
): void {
  const first = session.authorizer_1!;
  const { created, name } = first.ticket.fields;
  const input = {
    service: first.service_id,
    secrets: lab.secrets(session.service),
    nowNs: BigInt(created.sec) * 1_000_000_000n + BigInt(created.nsec) + 1_000_000n,
    policy: {
      plausibility,
      expiry: 'enforce',
      skewNs: 0n,
      allowedTypes: 'ring',
      generalSecret: false,
    },
  } as const;
  const bytes = fromHex(first.raw);
  const asked = verify({ ...input, bytes, challenge: { mode: 'required' } });
  lab.same('verdict 1', session.id, asked.reason, abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED);
  const answered = fromHex(session.authorizer_2!.raw);
  const issued = { mode: 'issued', value: challenge } as const;
  const verdict = verify({ ...input, bytes: answered, challenge: issued });
  lab.same('verdict 2', session.id, verdict.check, abi.CHECK_OK);
  const id = new TextDecoder().decode(verdict.ticket!.entityId);
  lab.same('verdict entity', session.id, id, name.id);
  const wrong = verify({
    ...input,
    bytes: answered,
    challenge: { ...issued, value: challenge + 1n },
  });
  lab.same('verdict 3', session.id, wrong.check, abi.CHECK_CHALLENGE_MISMATCH);
}

/** MAuth and MAuthReply: msgr1 logins, ticket requests, renewals, rotating secrets. */
function authMessages(lab: Lab, session: LabSession): void {
  const { id } = session;
  let challenge = BigInt(session.server_challenge?.server_challenge ?? 0);
  let authKey = session.session_key === undefined ? CryptoKey.none() : aesKey(session.session_key);
  let oldKey: CryptoKey | undefined;
  const key = session.auth_messages && lab.entityKey(session.entity.name);
  for (const message of session.auth_messages ?? []) {
    const payload = fromHex(message.payload);
    if (message.kind === 'server_challenge') {
      challenge = decode(protocol.decodeServerChallenge, payload, 'reject');
      lab.same('server challenge', id, challenge, BigInt(message.server_challenge!));
    } else if (message.kind === 'authenticate') {
      const authenticate = message as LabAuthenticate;
      authenticateMessage(lab, id, message.payload, authenticate);
      proof(lab, id, key!, challenge, authenticate, message.proof_matches ?? true);
      const old = message.old_ticket_opened?.fields.session_key.encoded;
      oldKey = old === undefined ? undefined : CryptoKey.fromBase64(old);
    } else if (message.kind === 'authenticate_reply') {
      loginReply(lab, session, message.payload, message as LabReply, key!, oldKey);
      authKey = CryptoKey.fromBase64(message.reply!.tickets[0]!.session_key.encoded);
    } else if (message.kind === 'get_principal_session_key') {
      const reader = new Reader(payload);
      const type = protocol.decodeRequestHeader(reader);
      lab.same('request type', id, type, protocol.GET_PRINCIPAL_SESSION_KEY);
      const authorizer = encode(protocol.encodeAuthorizer, protocol.decodeAuthorizer(reader));
      lab.same('auth authorizer', id, toHex(authorizer), message.authorizer!.raw);
      const wanted = protocol.decodeServiceTicketRequest(reader);
      lab.same('ticket request', id, wanted, message.ticket_request!.keys);
      authKey = authorizerBytes(lab, id, message.authorizer!, undefined);
      const request = encode(protocol.encodeServiceTicketRequest, wanted);
      const bytes = concat(encode(protocol.encodeRequestHeader, type), authorizer, request);
      lab.same('ticket request bytes', id, toHex(bytes), message.payload);
    } else if (message.kind === 'principal_session_key_reply') {
      loginReply(lab, session, message.payload, message as LabReply, authKey, undefined);
    } else if (message.kind === 'rotating_key_reply') {
      rotatingReply(lab, session, message, key!);
    }
  }
}

function rotatingReply(
  lab: Lab,
  session: LabSession,
  message: LabAuthMessage,
  key: CryptoKey,
): void {
  const { id } = session;
  const reader = new Reader(fromHex(message.payload));
  lab.same('status', id, protocol.decodeResponseHeader(reader).status, message.status);
  const sealed = reader.rest();
  const rotating = openRotatingSecrets(twinSealer, key, sealed);
  compareRotating(lab, id, rotating, message.rotating_secrets!);
  const object = encode(protocol.encodeRotatingSecrets, rotating);
  lab.same('rotating plaintext', id, toHex(concat(ENVELOPE, object)), message.plaintext);
  const again = sealRotatingSecrets(twinSealer, key, rotating, zeros);
  lab.same('rotating bytes', id, toHex(again), toHex(sealed));
}

function compareRotating(
  lab: Lab,
  where: string,
  rotating: protocol.RotatingSecrets,
  expected: { secrets: LabSecret[]; max_ver: string },
): void {
  lab.same('max_ver', where, rotating.maxVersion, BigInt(expected.max_ver));
  lab.same('rotating secrets', where, rotating.secrets.size, expected.secrets.length);
  for (const secret of expected.secrets) {
    const found = rotating.secrets.get(BigInt(secret.id))!;
    lab.same('rotating secret', where, found.key.toBase64(), secret.key.encoded);
    const { seconds: sec, nanoseconds: nsec } = found.expiration;
    lab.same('expiration', where, timeText({ sec, nsec }), timeText(secret.expiration));
  }
}

/** Rotating secrets as the monitor stored them: u8 1, u64 version, map of service to secrets. */
function rotatingRecords(lab: Lab): void {
  for (const [i, record] of lab.file.rotating_raw.entries()) {
    const reader = new Reader(fromHex(record.raw));
    const out = new Writer().u8(reader.u8()).u64(reader.u64());
    const services = reader.count(4);
    out.u32(services);
    for (let left = services; left > 0; left--) {
      out.u32(reader.u32());
      protocol.encodeRotatingSecrets(out, protocol.decodeRotatingSecrets(reader));
    }
    reader.end();
    lab.same('rotating record', `record ${i}`, toHex(out.finish()), record.raw);
  }
}

function messageSignatures(lab: Lab, session: LabSession, message: LabMessage): void {
  if (!message.signed) return;
  const block = {
    headerCrc: message.header_crc,
    frontCrc: message.front_crc,
    frontLen: message.front_len,
    middleCrc: message.middle_crc,
    middleLen: message.middle_len,
    dataCrc: message.data_crc,
    dataLen: message.data_len,
    seq: BigInt(message.seq),
  };
  expect(encodeMessageBlock(block).length).toBe(32);
  const sig = messageSignature(twinSealer, aesKey(session.session_key!), block);
  lab.same('msgr1 sig', session.id, sig, BigInt(message.sig));
}

function handshakeSignatures(lab: Lab, session: LabSession): void {
  const { id, signatures } = session;
  if (signatures === undefined) return;
  const key = aesKey(session.session_key!);
  const sign = (bytes: string): string =>
    toHex(handshakeSignature(twinSealer, key, fromHex(bytes)));
  lab.same('AUTH_SIGNATURE', id, sign(signatures.server_to_client_bytes), signatures.client_sends);
  lab.same('AUTH_SIGNATURE', id, sign(signatures.client_to_server_bytes), signatures.server_sends);
}

/** struct_v 1 and the magic, little-endian. */
const ENVELOPE = fromHex('0155aa2688ad9c00ff');
