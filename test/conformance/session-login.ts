/** Logins to a monitor, over msgr2 and in MAuth messages, computed again. */

import { challengeHash, challengeHashMatches } from '../../src/cephx/authorizer.ts';
import { CryptoKey, type Sealer } from '../../src/cephx/cryptokey.ts';
import { decode, encode, Reader, Writer } from '../../src/cephx/denc.ts';
import * as protocol from '../../src/cephx/protocol.ts';
import { openRotatingSecrets, sealRotatingSecrets } from '../../src/cephx/ticket.ts';
import type { LabAuthMessage, LabKeys, LabSession } from '../lab.ts';
import { fromHex, toHex } from '../twin/load.ts';
import {
  authenticateDoc,
  authorizerDoc,
  type Doc,
  keyDoc,
  nameDoc,
  openedDoc,
  plaintextOf,
  replyDoc,
  rotatingDoc,
  zeros,
} from './session-docs.ts';

/** Login over msgr2: hello, challenge, proof, and the reply if there was one. */
export function loginDoc(
  keys: LabKeys,
  sealer: Sealer,
  session: LabSession,
): { doc: Doc; sessionKey: CryptoKey | undefined; connectionSecret: Uint8Array | undefined } {
  const payload = fromHex(session.auth_request?.payload ?? '');
  const hello = decode(protocol.decodeLoginHello, payload, 'reject');
  const entity = nameDoc(hello.name);
  const key = keys.entityKey(entity.name as string);
  const challengeRaw = fromHex(session.server_challenge?.raw ?? '');
  const server = decode(protocol.decodeServerChallenge, challengeRaw, 'reject');
  const { doc: authenticate, message } = authenticateDoc(session.authenticate?.raw ?? '');
  const matches = proofMatches(sealer, key, server, message);
  const old = oldTicket(keys, sealer, message);
  const doc: Doc = {
    auth_request: {
      payload: toHex(encode(protocol.encodeLoginHello, hello)),
      entity_name: entity,
      global_id: `${hello.globalId}`,
    },
    entity,
    entity_key: keyDoc(key),
    server_challenge: {
      raw: toHex(encode(protocol.encodeServerChallenge, server)),
      server_challenge: `${server}`,
    },
    authenticate,
    proof_matches: matches,
    ...(old && { old_ticket_opened: old.doc }),
  };
  // Refused: for a wrong proof, or because the entity has no caps for the monitor.
  if (!matches || session.auth_done === undefined) {
    return { doc, sessionKey: undefined, connectionSecret: undefined };
  }
  const reply = replyDoc(keys, sealer, session.auth_done.payload, key, old?.sessionKey);
  const { authKey, connectionSecret, ...fields } = reply;
  const [ticket] = fields.reply.tickets as { ticket: { fields: Doc } }[];
  doc.auth_done = {
    ...fields,
    global_id: ticket?.ticket.fields.global_id,
    con_mode: connectionSecret === undefined || connectionSecret.length === 0 ? 1 : 2,
  };
  return { doc, sessionKey: authKey, connectionSecret };
}

function proofMatches(
  sealer: Sealer,
  key: CryptoKey,
  server: bigint,
  message: protocol.Authenticate,
): boolean {
  const challenges = { server, client: message.clientChallenge };
  const matches = challengeHashMatches(sealer, key, challenges, message.key);
  if (matches !== (challengeHash(sealer, key, challenges) === message.key)) {
    throw new Error('challengeHash and challengeHashMatches disagree');
  }
  return matches;
}

/** The AUTH ticket of before, which a client shows to keep its global_id. */
function oldTicket(
  keys: LabKeys,
  sealer: Sealer,
  message: protocol.Authenticate,
): ReturnType<typeof openedDoc> | undefined {
  const { oldTicket: blob } = message;
  return blob.blob.length === 0 ? undefined : openedDoc(keys, sealer, 'auth', blob);
}

interface Progress {
  readonly keys: LabKeys;
  readonly sealer: Sealer;
  readonly session: LabSession;
  readonly entityKey: CryptoKey;
  server: bigint;
  authKey: CryptoKey;
  oldKey: CryptoKey | undefined;
  proofMatches: boolean | undefined;
  /** Whose messages these are, as the messages say. */
  entity: unknown;
}

/** MAuth and MAuthReply: msgr1 logins, ticket requests, renewals, rotating secrets. */
export function authMessageDocs(
  keys: LabKeys,
  sealer: Sealer,
  session: LabSession,
  authKey: CryptoKey | undefined,
): { docs: Doc[]; proofMatches: boolean | undefined; entity: unknown } {
  const messages = session.auth_messages ?? [];
  const progress: Progress = {
    ...{ keys, sealer, session },
    entityKey: messages.length === 0 ? CryptoKey.none() : keys.entityKey(session.entity.name),
    server: 0n,
    authKey: authKey ?? CryptoKey.none(),
    oldKey: undefined,
    proofMatches: undefined,
    entity: undefined,
  };
  const docs = messages.map((message): Doc => {
    const { kind } = message;
    return { kind, ...(kind === undefined ? {} : KINDS[kind]?.(progress, message)) };
  });
  const { proofMatches, entity } = progress;
  return { docs, proofMatches, entity };
}

const KINDS: Readonly<Record<string, (progress: Progress, message: LabAuthMessage) => Doc>> = {
  methods: hello,
  server_challenge: serverChallenge,
  authenticate,
  authenticate_reply: (progress, message) => {
    const { entityKey, oldKey } = progress;
    const { doc, authKey } = ticketReply(progress, message, entityKey, oldKey);
    progress.authKey = authKey;
    return doc;
  },
  get_principal_session_key: ticketRequest,
  principal_session_key_reply: (progress, message) =>
    ticketReply(progress, message, progress.authKey, undefined).doc,
  get_rotating_key: (_, message) => {
    const reader = new Reader(fromHex(message.payload));
    const type = protocol.decodeRequestHeader(reader);
    const payload = toHex(encode(protocol.encodeRequestHeader, type));
    return { payload, request_type: type, rest: toHex(reader.rest()) };
  },
  rotating_key_reply: rotatingReply,
};

/** The first MAuth: u8 1, the methods that the client offers, its name and global_id. */
function hello(progress: Progress, message: LabAuthMessage): Doc {
  const reader = new Reader(fromHex(message.payload));
  const version = reader.u8();
  const methods = Array.from({ length: reader.count(4) }, () => reader.u32());
  const name = protocol.decodeEntityName(reader);
  const globalId = reader.u64();
  reader.end();
  const out = new Writer().u8(version).u32(methods.length);
  for (const method of methods) out.u32(method);
  progress.entity = nameDoc(name);
  protocol.encodeEntityName(out, name);
  return {
    payload: toHex(out.u64(globalId).finish()),
    methods,
    entity_name: nameDoc(name),
    global_id: `${globalId}`,
    entity_key: keyDoc(progress.entityKey),
  };
}

function serverChallenge(progress: Progress, message: LabAuthMessage): Doc {
  const challenge = decode(protocol.decodeServerChallenge, fromHex(message.payload), 'reject');
  progress.server = challenge;
  const payload = toHex(encode(protocol.encodeServerChallenge, challenge));
  return { payload, server_challenge: `${challenge}` };
}

function authenticate(progress: Progress, message: LabAuthMessage): Doc {
  const { doc, message: sent } = authenticateDoc(message.payload);
  const { raw, ...fields } = doc;
  const { keys, sealer, entityKey, session } = progress;
  // Over msgr2 it comes after a login, whose challenge it answers again.
  const before = BigInt(session.server_challenge?.server_challenge ?? 0);
  const server = progress.server === 0n ? before : progress.server;
  const matches = proofMatches(sealer, entityKey, server, sent);
  const old = oldTicket(keys, sealer, sent);
  progress.oldKey = old?.sessionKey;
  if (session.auth_mode !== 'mon') progress.proofMatches = matches;
  const opened = old && { old_ticket_opened: old.doc };
  return { ...fields, payload: raw, proof_matches: matches, ...opened };
}

function ticketReply(
  progress: Progress,
  message: LabAuthMessage,
  key: CryptoKey,
  oldKey: CryptoKey | undefined,
): { doc: Doc; authKey: CryptoKey } {
  const { keys, sealer } = progress;
  const { header, ...doc } = replyDoc(keys, sealer, message.payload, key, oldKey);
  return { doc: { ...doc, ...header }, authKey: doc.authKey };
}

function ticketRequest(progress: Progress, message: LabAuthMessage): Doc {
  const { keys, sealer } = progress;
  const reader = new Reader(fromHex(message.payload));
  const type = protocol.decodeRequestHeader(reader);
  const sent = encode(protocol.encodeAuthorizer, protocol.decodeAuthorizer(reader));
  const wanted = protocol.decodeServiceTicketRequest(reader);
  reader.end();
  const { doc, sessionKey } = authorizerDoc(keys, sealer, toHex(sent), undefined);
  progress.authKey = sessionKey;
  progress.entity = (doc.ticket as { fields: Doc }).fields.name;
  const out = new Writer();
  protocol.encodeRequestHeader(out, type);
  out.bytes(fromHex(doc.raw as string));
  protocol.encodeServiceTicketRequest(out, wanted);
  return {
    payload: toHex(out.finish()),
    request_type: type,
    authorizer: doc,
    ticket_request: { struct_v: 1, keys: wanted },
  };
}

function rotatingReply(progress: Progress, message: LabAuthMessage): Doc {
  const { sealer, entityKey } = progress;
  const reader = new Reader(fromHex(message.payload));
  const header = protocol.decodeResponseHeader(reader);
  const rotating = openRotatingSecrets(sealer, entityKey, reader.rest());
  const sealed = sealRotatingSecrets(sealer, entityKey, rotating, zeros);
  const out = new Writer();
  protocol.encodeResponseHeader(out, header);
  return {
    payload: toHex(out.bytes(sealed).finish()),
    request_type: header.type,
    status: header.status,
    encrypted: toHex(sealed.subarray(4)),
    plaintext: plaintextOf(encode(protocol.encodeRotatingSecrets, rotating)),
    rotating_secrets: rotatingDoc(rotating),
  };
}
