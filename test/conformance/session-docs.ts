/**
 * Parts of recorded sessions computed again in the shape of the record: opened with the keys of
 * the record, sealed again, and written down with every intermediate value.
 */

import * as abi from '../../assembly/abi.ts';
import { buildAuthorizer } from '../../src/cephx/authorizer.ts';
import { CryptoKey, openObject, type Sealer } from '../../src/cephx/cryptokey.ts';
import { decode, encode, Reader, type Utime, Writer } from '../../src/cephx/denc.ts';
import * as protocol from '../../src/cephx/protocol.ts';
import type { MessageBlock } from '../../src/cephx/signature.ts';
import {
  openConnectionSecret,
  openServiceTicket,
  openTicketReply,
  type ServiceTicketGrant,
  sealConnectionSecret,
  sealServiceTicket,
  sealTicketReply,
} from '../../src/cephx/ticket.ts';
import type { LabKeys, LabMessage } from '../lab.ts';
import { fromHex, toHex } from '../twin/load.ts';
import { concat } from '../twin/sealer.ts';

/** A structure of a record. */
export type Doc = Record<string, unknown>;

export function keyDoc(key: CryptoKey): Doc {
  return {
    type: key.type,
    created: timeDoc(key.created),
    secret: toHex(key.secret),
    encoded: key.toBase64(),
  };
}

export function timeDoc(time: Utime): Doc {
  return { sec: time.seconds, nsec: time.nanoseconds };
}

export function nameDoc(name: protocol.EntityName): Doc {
  return { ...name, name: protocol.formatEntityName(name) };
}

function blobDoc(blob: protocol.TicketBlob): Doc {
  return { struct_v: 1, secret_id: `${blob.secretId}`, blob: toHex(blob.blob) };
}

/** The plaintext of a sealed object, envelope included. */
export function plaintextOf(object: Uint8Array): string {
  return toHex(concat(ENVELOPE, object));
}

/** A CephXServiceTicketInfo, opened with the secret of its service. */
export function openedDoc(
  keys: LabKeys,
  sealer: Sealer,
  service: string,
  blob: protocol.TicketBlob,
): { doc: Doc; sessionKey: CryptoKey; resealed: Uint8Array } {
  const secret = keys.secret(service, `${blob.secretId}`);
  const info = openServiceTicket(sealer, secret, blob.blob);
  const { ticket, sessionKey } = info;
  const fields = {
    struct_v: 1,
    ticket_struct_v: ticket.auid === undefined ? 1 : 2,
    name: nameDoc(ticket.name),
    global_id: `${ticket.globalId}`,
    old_auid: `${ticket.auid}`,
    created: timeDoc(ticket.created),
    expires: timeDoc(ticket.expires),
    caps_struct_v: 1,
    allow_all: ticket.caps.allowAll ? 1 : 0,
    caps_raw: toHex(ticket.caps.caps),
    caps: protocol.capsText(ticket.caps.caps) ?? null,
    flags: ticket.flags,
    session_key: keyDoc(sessionKey),
  };
  const opened_with = { service, secret_id: `${blob.secretId}`, secret: toHex(secret.secret) };
  const plaintext = plaintextOf(encode(protocol.encodeServiceTicketInfo, info));
  const resealed = sealServiceTicket(sealer, secret, blob.secretId, info, zeros).blob;
  return { doc: { opened_with, plaintext, fields }, sessionKey, resealed };
}

/** A CephXServiceTicketReply that was opened: built again, and each ticket with all it holds. */
function ticketsDoc(
  keys: LabKeys,
  sealer: Sealer,
  grants: readonly ServiceTicketGrant[],
  principalKey: CryptoKey,
  oldKey: CryptoKey | undefined,
): { doc: Doc; bytes: Uint8Array } {
  const openings = grants.map((grant) => {
    const service = protocol.entityTypeName(grant.serviceId) ?? `${grant.serviceId}`;
    return { service, ...openedDoc(keys, sealer, service, grant.blob) };
  });
  // Sealed again from what was opened: nothing of the recorded ciphertext is left in it.
  const again = grants.map((grant, i) => {
    const blob = openings[i]?.resealed ?? grant.blob.blob;
    return { ...grant, blob: { secretId: grant.blob.secretId, blob } };
  });
  const bytes = sealTicketReply(sealer, principalKey, again, zeros, oldKey);
  const entries = protocol.decodeServiceTicketReply(new Reader(bytes));
  const tickets = again.map((grant, i) => {
    const entry = entries[i] as protocol.ServiceTicketReplyEntry;
    return {
      service: openings[i]?.service,
      service_id: grant.serviceId,
      ticket_v: 1,
      encrypted_secret_part: toHex(entry.sealedTicket),
      secret_part_plaintext: plaintextOf(encode(protocol.encodeServiceTicket, grant)),
      session_key: keyDoc(grant.sessionKey),
      validity: timeDoc(grant.validity),
      blob_encrypted: entry.blobSealed ? 1 : 0,
      blob_on_wire: toHex(entry.payload),
      ticket_blob: blobDoc(grant.blob),
      ticket: openings[i]?.doc,
    };
  });
  return { doc: { struct_v: 1, tickets }, bytes };
}

/** What is in a login reply or an answer to a ticket request. */
export interface ReplyDoc {
  readonly payload: string;
  readonly header: Doc;
  readonly reply: Doc;
  readonly connection_secret_encrypted?: string;
  readonly extra_tickets_raw?: string;
  readonly extra_tickets?: Doc;
  readonly connectionSecret: Uint8Array | undefined;
  readonly authKey: CryptoKey;
}

/** CephXResponseHeader, tickets and, if other keys were asked for, secret and more tickets. */
export function replyDoc(
  keys: LabKeys,
  sealer: Sealer,
  payload: string,
  key: CryptoKey,
  oldKey: CryptoKey | undefined,
): ReplyDoc {
  const reader = new Reader(fromHex(payload));
  const out = new Writer();
  const { type, status } = protocol.decodeResponseHeader(reader);
  protocol.encodeResponseHeader(out, { type, status });
  const grants = openTicketReply(sealer, key, reader, oldKey);
  const reply = ticketsDoc(keys, sealer, grants, key, oldKey);
  out.bytes(reply.bytes);
  const authKey = grants[0]?.sessionKey ?? CryptoKey.none();
  const header = { request_type: type, status };
  const common = { header, reply: reply.doc, authKey };
  if (reader.left === 0) {
    return { ...common, payload: toHex(out.finish()), connectionSecret: undefined };
  }
  const cbl = reader.bl();
  const extra = reader.bl();
  reader.end();
  const secret = cbl.length === 0 ? undefined : openConnectionSecret(sealer, authKey, cbl);
  const sealed = secret && sealConnectionSecret(sealer, authKey, secret, zeros);
  out.bl(sealed ?? zeros(0));
  const more =
    extra.length === 0
      ? undefined
      : ticketsDoc(
          keys,
          sealer,
          openTicketReply(sealer, authKey, new Reader(extra)),
          authKey,
          undefined,
        );
  out.bl(more?.bytes ?? zeros(0));
  return {
    ...common,
    payload: toHex(out.finish()),
    connectionSecret: secret,
    connection_secret_encrypted: toHex(sealed ?? zeros(0)),
    extra_tickets_raw: toHex(more?.bytes ?? zeros(0)),
    ...(more && { extra_tickets: more.doc }),
  };
}

/** A CephXAuthorizer: decoded, opened with what its ticket holds, built again. */
export function authorizerDoc(
  keys: LabKeys,
  sealer: Sealer,
  raw: string,
  serverChallenge: bigint | undefined,
): { doc: Doc; sessionKey: CryptoKey; nonce: bigint } {
  const authorizer = decode(protocol.decodeAuthorizer, fromHex(raw), 'reject');
  const { globalId, serviceId, ticket, sealed } = authorizer;
  const service = protocol.entityTypeName(serviceId) ?? `${serviceId}`;
  const { doc, sessionKey, resealed } = openedDoc(keys, sealer, service, ticket);
  const plain = { prefixed: false };
  const object = openObject(sealer, sessionKey, abi.USAGE_AUTHORIZE, sealed, plain);
  const authorize = decode(protocol.decodeAuthorize, object, 'reject');
  const { nonce, answer } = authorize;
  const blob = { secretId: ticket.secretId, blob: resealed };
  const owned = { globalId, serviceId, sessionKey, blob };
  const built = buildAuthorizer(sealer, owned, nonce, zeros, serverChallenge);
  const again = decode(protocol.decodeAuthorizer, built, 'reject');
  const text = {
    raw: toHex(built),
    authorizer_v: again.version,
    global_id: `${globalId}`,
    service_id: serviceId,
    service,
    ticket_blob: blobDoc(blob),
    encrypted_authorize: toHex(again.sealed),
    ticket: doc,
    authorize_plaintext: plaintextOf(encode(protocol.encodeAuthorize, authorize)),
    authorize: {
      struct_v: answer === undefined ? 1 : 2,
      nonce: `${nonce}`,
      have_challenge: answer?.haveChallenge ? 1 : 0,
      server_challenge_plus_one: `${answer?.plusOne}`,
    },
  };
  return { doc: text, sessionKey, nonce };
}

/** A CephXAuthenticate with its request header, decoded and encoded. */
export function authenticateDoc(raw: string): { doc: Doc; message: protocol.Authenticate } {
  const reader = new Reader(fromHex(raw));
  const type = protocol.decodeRequestHeader(reader);
  const message = protocol.decodeAuthenticate(reader);
  reader.end();
  const out = new Writer();
  protocol.encodeRequestHeader(out, type);
  protocol.encodeAuthenticate(out, message);
  const doc = {
    raw: toHex(out.finish()),
    request_type: type,
    struct_v: message.version,
    client_challenge: `${message.clientChallenge}`,
    key: `${message.key}`,
    old_ticket: blobDoc(message.oldTicket),
    other_keys: message.otherKeys,
  };
  return { doc, message };
}

/** Rotating secrets, as lists of the record show them. */
export function rotatingDoc(rotating: protocol.RotatingSecrets): Doc {
  const secrets = [...rotating.secrets].map(([id, { key, expiration }]) => ({
    id: `${id}`,
    key: keyDoc(key),
    expiration: timeDoc(expiration),
  }));
  return { secrets, max_ver: `${rotating.maxVersion}` };
}

/** The numbers that a msgr1 signature covers. */
export function blockOf(message: LabMessage): MessageBlock {
  return {
    headerCrc: message.header_crc,
    frontCrc: message.front_crc,
    frontLen: message.front_len,
    middleCrc: message.middle_crc,
    middleLen: message.middle_len,
    dataCrc: message.data_crc,
    dataLen: message.data_len,
    seq: BigInt(message.seq),
  };
}

/** `aes` takes no randomness, so zeros must do. */
export function zeros(n: number): Uint8Array {
  return new Uint8Array(n);
}

/** struct_v 1 and the magic, little-endian. */
const ENVELOPE = fromHex('0155aa2688ad9c00ff');
