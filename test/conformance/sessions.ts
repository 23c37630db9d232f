/**
 * Format cephx-lab-vectors/1: whole sessions of a real cluster with every intermediate value
 * (vectors-*.json). A session is computed again as a document of the record's own shape, with the
 * engine's ciphers and with the twin's; its authorizers are judged by the engine.
 */

import {
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeChallenge,
  sealAuthorizeReply,
} from '../../src/cephx/authorizer.ts';
import type { CryptoKey, Sealer } from '../../src/cephx/cryptokey.ts';
import { encode, plusOne, Reader, utimeFromNs, Writer } from '../../src/cephx/denc.ts';
import * as protocol from '../../src/cephx/protocol.ts';
import { handshakeSignature, messageSignature } from '../../src/cephx/signature.ts';
import {
  type LabAuthMessage,
  type LabFile,
  LabKeys,
  type LabMessage,
  type LabSession,
} from '../lab.ts';
import { fromHex, toHex } from '../twin/load.ts';
import type { Check, Report } from './report.ts';
import type { Rig } from './rig.ts';
import { authorizerDoc, blockOf, type Doc, plaintextOf, zeros } from './session-docs.ts';
import { authMessageDocs, loginDoc } from './session-login.ts';
import { judgeSession } from './session-verdicts.ts';

export function runSessions(rig: Rig, report: Report, file: LabFile): void {
  const keys = new LabKeys(file);
  for (const [i, record] of file.rotating_raw.entries()) {
    const body = (check: Check): void => {
      const raw = rig.both(() => rotatingRecord(keys, record.raw));
      check.same('raw', raw, record.raw);
    };
    report.case(`rotating record ${i}`, { kind: 'rotating record' }, body, record);
  }
  for (const session of file.sessions) {
    const body = (check: Check): void => {
      const doc = rig.both((sealer) => sessionDoc(keys, sealer, session));
      check.tree('', doc, recorded(session));
      if (session.authorizer_1 !== undefined) judgeSession(rig, check, keys, session);
    };
    report.case(session.id, { ...session }, body, session);
  }
}

/**
 * Rotating secrets as the monitor stored them: u8 1, u64 version, map of service to secrets. Each
 * secret is one of the file's, and is encoded from there.
 */
function rotatingRecord(keys: LabKeys, raw: string): string {
  const reader = new Reader(fromHex(raw));
  const out = new Writer().u8(reader.u8()).u64(reader.u64());
  const services = reader.count(4);
  out.u32(services);
  for (let left = services; left > 0; left--) {
    const service = reader.u32();
    const { secrets } = protocol.decodeRotatingSecrets(reader);
    const known = keys.secrets(protocol.entityTypeName(service) ?? '');
    const found = known.filter(({ secretId }) => secrets.has(secretId));
    const entries = found.map(
      ({ secretId, key, expiresNs }): [bigint, protocol.ExpiringCryptoKey] => [
        secretId,
        { key, expiration: utimeFromNs(expiresNs) },
      ],
    );
    const maxVersion = found.at(-1)?.secretId ?? 0n;
    protocol.encodeRotatingSecrets(out.u32(service), { secrets: new Map(entries), maxVersion });
  }
  reader.end();
  return toHex(out.finish());
}

/** What of a session is cephx. What surrounds it on the wire is not compared. */
function recorded(session: LabSession): Doc {
  const doc: Doc = { ...session };
  for (const name of NOT_CEPHX) delete doc[name];
  const { auth_request, signatures, messages, connects, auth_messages } = session;
  if (auth_request !== undefined)
    doc.auth_request = without(auth_request, ['method', 'preferred_modes']);
  if (signatures !== undefined) {
    const { client_sends, server_sends } = signatures;
    doc.signatures = { client_sends, server_sends };
  }
  if (messages !== undefined) {
    doc.messages = Object.fromEntries(signed(messages).map(([i, { sig }]) => [i, { sig }]));
  }
  if (connects !== undefined) {
    doc.connects = connects.map(({ connect, reply }) => ({
      connect: { authorizer: connect.authorizer },
      reply: { reply: reply.reply },
    }));
  }
  if (auth_messages !== undefined) {
    doc.auth_messages = auth_messages.map((each) => without(each, frameFields(each)));
  }
  return doc;
}

/** Fields of MAuth and MAuthReply around the payload; without a `kind` it holds nothing. */
function frameFields(message: LabAuthMessage): readonly string[] {
  if (message.kind === undefined) return Object.keys(message);
  const fields = ['from', 'protocol', 'result', 'result_msg'];
  return message.kind === 'methods' ? fields : [...fields, 'global_id'];
}

function without(doc: object, names: readonly string[]): Doc {
  return Object.fromEntries(Object.entries(doc).filter(([name]) => !names.includes(name)));
}

/** The session computed again. */
function sessionDoc(keys: LabKeys, sealer: Sealer, session: LabSession): Doc {
  const none = { connect: { authorizer: '' }, reply: { reply: '' } };
  const connects = session.connects?.map(() => none);
  const doc: Doc = { entity: session.entity, ...(connects && { connects }) };
  let sessionKey: CryptoKey | undefined;
  let connectionSecret: Uint8Array | undefined;
  if (session.auth_mode === 'mon') {
    const login = loginDoc(keys, sealer, session);
    Object.assign(doc, login.doc);
    ({ sessionKey, connectionSecret } = login);
  }
  const messages = authMessageDocs(keys, sealer, session, sessionKey);
  if (session.auth_messages !== undefined) doc.auth_messages = messages.docs;
  if (messages.entity !== undefined) doc.entity = messages.entity;
  if (messages.proofMatches !== undefined) doc.proof_matches = messages.proofMatches;
  if (session.authorizer_1 !== undefined) {
    const exchange = exchangeDoc(keys, sealer, session);
    Object.assign(doc, exchange.doc);
    ({ sessionKey, connectionSecret } = exchange);
    doc.entity = exchange.entity;
  }
  if (sessionKey !== undefined) doc.session_key = toHex(sessionKey.secret);
  secureDoc(doc, connectionSecret);
  signatureDocs(doc, sealer, session, sessionKey);
  return doc;
}

/** What comes of the connection secret: the mode, and key and nonces of the secure mode. */
function secureDoc(doc: Doc, secret: Uint8Array | undefined): void {
  if (secret === undefined) return;
  const part = (from: number, to: number): string => toHex(secret.subarray(from, to));
  doc.connection_secret = toHex(secret);
  doc.con_mode = secret.length === 0 ? 'crc' : 'secure';
  doc.secure = { key: part(0, 16), server_nonce: part(16, 28), client_nonce: part(28, 40) };
}

function signatureDocs(
  doc: Doc,
  sealer: Sealer,
  session: LabSession,
  key: CryptoKey | undefined,
): void {
  const { signatures, messages } = session;
  if (signatures !== undefined) {
    const sign = (bytes: string): string => toHex(handshakeSignature(sealer, key, fromHex(bytes)));
    doc.signatures = {
      client_sends: sign(signatures.server_to_client_bytes),
      server_sends: sign(signatures.client_to_server_bytes),
    };
  }
  if (messages === undefined) return;
  const sigs = signed(messages).map(([i, message]) => {
    const sig = key && messageSignature(sealer, key, blockOf(message));
    return [i, { sig: `${sig}` }];
  });
  doc.messages = Object.fromEntries(sigs);
}

function signed(messages: readonly LabMessage[]): [number, LabMessage][] {
  return [...messages.entries()].filter(([, message]) => message.signed);
}

/** Authorizer, challenge, second authorizer and reply, each opened and built again. */
function exchangeDoc(
  keys: LabKeys,
  sealer: Sealer,
  session: LabSession,
): { doc: Doc; entity: unknown; sessionKey: CryptoKey; connectionSecret: Uint8Array } {
  const first = authorizerDoc(keys, sealer, session.authorizer_1?.raw ?? '', undefined);
  const { sessionKey } = first;
  const sent = fromHex(session.authorizer_challenge?.encrypted ?? '');
  const challenge = openAuthorizeChallenge(sealer, sessionKey, sent);
  const sealed = sealAuthorizeChallenge(sealer, sessionKey, challenge, zeros);
  const second = authorizerDoc(keys, sealer, session.authorizer_2?.raw ?? '', challenge);
  const answered = fromHex(session.authorizer_reply?.raw ?? '');
  const secret = openAuthorizeReply(sealer, sessionKey, second.nonce, answered);
  const reply = sealAuthorizeReply(sealer, sessionKey, second.nonce, secret, zeros);
  const noncePlusOne = plusOne(second.nonce);
  const object = encode(protocol.encodeAuthorizeReply, { noncePlusOne, connectionSecret: secret });
  const [raw, answer] = [toHex(sealed), toHex(reply)];
  const doc = {
    authorizer_1: first.doc,
    authorizer_challenge: {
      raw,
      encrypted: raw,
      plaintext: plaintextOf(encode(protocol.encodeServerChallenge, challenge)),
      server_challenge: `${challenge}`,
    },
    authorizer_2: second.doc,
    authorizer_reply: {
      raw: answer,
      encrypted: toHex(reply.subarray(4)),
      plaintext: plaintextOf(object),
      struct_v: secret.length === 0 ? 1 : 2,
      nonce_plus_one: `${noncePlusOne}`,
      connection_secret: toHex(secret),
    },
    auth_request: { payload: first.doc.raw },
    auth_done: {
      global_id: (first.doc.ticket as { fields: Doc }).fields.global_id,
      con_mode: secret.length === 0 ? 1 : 2,
      payload: answer,
    },
    connects: (session.connects ?? []).map((_, i) => ({
      connect: { authorizer: i === 0 ? first.doc.raw : second.doc.raw },
      reply: { reply: i === 0 ? raw : answer },
    })),
  };
  const { name } = (first.doc.ticket as { fields: Doc }).fields;
  return { doc, entity: name, sessionKey, connectionSecret: secret };
}

/** Frames, features and words of the recorder. */
const NOT_CEPHX = [
  ...[
    'id',
    'entity_name',
    'service',
    'mode',
    'kind',
    'auth_mode',
    'client_command',
    'client_rc',
    'transport',
  ],
  ...['client_features', 'server_features', 'features_both', 'checks', 'result', 'bad_method'],
  ...['client_hello', 'server_hello', 'server_addr', 'client_addr'],
  ...['client_to_server_handshake', 'server_to_client_handshake'],
];
