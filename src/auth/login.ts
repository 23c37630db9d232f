/**
 * Login, request 0x0100: proof of the entity's key, global_id, AUTH ticket, and what else was asked
 * for (Ceph: CephxServiceHandler::handle_request; spec section 11).
 *
 * An unknown entity, a wrong key, a key type that may not log in, a denied entity and missing mon
 * caps are one answer after the same work: every login reads one row and computes four hashes. That
 * is why the mon caps are looked at before the global_id, where Ceph looks last.
 */

import { KEY_TYPE_AES, KEY_TYPE_AES256K } from '../../assembly/abi.ts';
import { buildAuthorizer, challengeHashMatches } from '../cephx/authorizer.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { DecodeError, equalBytes, Reader, Writer } from '../cephx/denc.ts';
import {
  type Authenticate,
  type ChallengeBlob,
  decodeAuthenticate,
  ENTITY_TYPES,
  formatEntityName,
  type TicketBlob,
} from '../cephx/protocol.ts';
import { openServiceTicket, sealConnectionSecret, sealTicketReply } from '../cephx/ticket.ts';
import { ENTITIES, type EntityRecord } from '../store/records.ts';
import { mayLogIn, readCiphers } from './cipherpolicy.ts';
import type { Exchange } from './exchange.ts';
import {
  EACCES,
  EINVAL,
  EIO,
  EPERM,
  type Issuer,
  readEntity,
  refused,
  wipeKeys,
} from './issuer.ts';
import type { KeyGeneration } from './keyuses.ts';
import { grantServices, judgeAuthorizer, makeTicket } from './serviceticket.ts';
import { changeRecord } from './storecalls.ts';

/** How the login came. */
export interface LoginContext {
  /**
   * What the reply says of a connection secret: 64 bytes, an empty one, or (messenger version 1)
   * nothing at all.
   */
  readonly connection: 'secure' | 'crc' | 'none';
  /** For the operator: an address or the name of a listener. */
  readonly source: string;
}

export type LoginAnswer =
  | { readonly status: number; readonly payload: undefined }
  | {
      readonly status: 0;
      readonly payload: Uint8Array;
      readonly globalId: bigint;
      /** The caller wipes both. */
      readonly authSessionKey: CryptoKey;
      readonly connectionSecret: Uint8Array;
    };

/** Answers a CephXAuthenticate; `exchange` is undefined if no hello goes before it. */
export async function answerLogin(
  issuer: Issuer,
  exchange: Exchange | undefined,
  body: Uint8Array,
  context: LoginContext,
): Promise<LoginAnswer> {
  const message = decodeOr(body);
  if (message === undefined) return refused(EPERM);
  // One challenge, one answer: without it nothing can be proved (spec section 11, row 5).
  if (exchange === undefined) return refused(EACCES);
  const entityName = formatEntityName(exchange.name);
  const entity = await readEntity(issuer, entityName);
  const ciphers = await readCiphers(issuer.store);
  const challenges = {
    server: exchange.serverChallenge,
    client: message.clientChallenge,
  };
  const proof = prove(issuer, entity, challenges, message.key);
  wipeKeys(entity);
  try {
    const isAllowed =
      proof.generation !== undefined &&
      mayLogIn(ciphers, issuer.ciphers, proof.key.typeName) &&
      !issuer.revocations.isDenied(entityName) &&
      (entity?.caps.get('mon') ?? '') !== '';
    if (entity === undefined || proof.generation === undefined || !isAllowed) {
      const known = entity === undefined ? {} : { entity: entityName };
      issuer.log({ event: 'login_refused', proved: proof.generation !== undefined, ...known });
      return refused(EACCES);
    }
    const { generation } = proof;
    issuer.uses.record(entityName, generation, { timeNs: issuer.clock(), source: context.source });
    if (generation === 'pending' && issuer.autoCommit) {
      await commitPending(issuer, entityName, proof.key);
    }
    return await logIn(issuer, { exchange, message, entity, key: proof.key }, context);
  } finally {
    proof.key.wipe();
  }
}

/**
 * Makes the pending key of an entity its key; nothing if there is none, or not the one that is
 * meant. Throws StoreError.
 */
export async function commitPending(
  issuer: Pick<Issuer, 'store' | 'uses'>,
  entityName: string,
  meant?: CryptoKey,
): Promise<boolean> {
  const wanted = meant?.encode();
  let committed = false;
  await changeRecord(issuer.store, ENTITIES, entityName, (present) => {
    const pending = present?.pendingKey;
    committed = pending !== undefined && (wanted === undefined || equalBytes(pending, wanted));
    return committed
      ? { record: { ...present!, key: pending!, pendingKey: undefined } }
      : undefined;
  });
  wanted?.fill(0);
  if (committed) issuer.uses.committed(entityName);
  return committed;
}

interface Proved {
  readonly exchange: Exchange;
  readonly message: Authenticate;
  readonly entity: EntityRecord;
  /** The key that was proved: it seals the reply. */
  readonly key: CryptoKey;
}

async function logIn(issuer: Issuer, proved: Proved, context: LoginContext): Promise<LoginAnswer> {
  const { exchange, message, entity, key } = proved;
  const claim = claimGlobalId(issuer, exchange, message);
  if (typeof claim === 'number') return refused(claim);
  const isNew = exchange.globalId === 0n;
  const globalId = isNew ? await issuer.globalIds.next() : exchange.globalId;
  const principal = { name: exchange.name, globalId };
  const grant = makeTicket(issuer, principal, 'auth', undefined, key.type);
  if (grant === undefined) {
    claim.oldSessionKey?.wipe();
    return refused(EIO);
  }
  const { sealer, random } = issuer;
  const authSessionKey = grant.sessionKey;
  const out = new Writer().bytes(
    sealTicketReply(sealer, key, [grant], random, claim.oldSessionKey),
  );
  claim.oldSessionKey?.wipe();
  const isSecure = context.connection === 'secure' && message.otherKeys !== 0;
  const connectionSecret = isSecure ? random(CONNECTION_SECRET_LEN) : new Uint8Array(0);
  if (message.otherKeys !== 0) {
    const hasSecret = context.connection !== 'none';
    out.bl(
      hasSecret
        ? sealConnectionSecret(sealer, authSessionKey, connectionSecret, random)
        : new Uint8Array(0),
    );
    const others = grantServices(issuer, principal, entity, key.type, message.otherKeys);
    out.bl(
      others.length > 0
        ? sealTicketReply(sealer, authSessionKey, others, random)
        : new Uint8Array(0),
    );
    for (const { sessionKey } of others) sessionKey.wipe();
  }
  return { status: 0, payload: out.finish(), globalId, authSessionKey, connectionSecret };
}

/**
 * The global_id rule (CVE-2021-20288): an id is claimed with the AUTH ticket that bears it. Returns
 * the session key of that ticket, under which the new one is hidden from anybody else, or an errno.
 */
function claimGlobalId(
  issuer: Issuer,
  exchange: Exchange,
  message: Authenticate,
): { readonly oldSessionKey: CryptoKey | undefined } | number {
  const { oldTicket, version } = message;
  const isPresent = oldTicket.blob.length > 0;
  if (exchange.globalId === 0n) return isPresent ? EINVAL : { oldSessionKey: undefined };
  const oldSessionKey = isPresent ? openOldTicket(issuer, exchange, oldTicket) : undefined;
  if (oldSessionKey !== undefined) return { oldSessionKey };
  const isTolerated = version < 3 && issuer.allowInsecureGlobalIdReclaim;
  return isTolerated ? { oldSessionKey: undefined } : EACCES;
}

/**
 * The session key of an old AUTH ticket that is genuine and bears this global_id and name (Ceph
 * does not compare the name; but under `aes` one's own ticket can be altered into one with another
 * id). The core judges it as it judges any AUTH ticket, in an authorizer made for this; but an
 * expired one will do while its secret is kept, as in Ceph: the key has just been proved.
 */
function openOldTicket(
  issuer: Issuer,
  { globalId, name }: Exchange,
  blob: TicketBlob,
): CryptoKey | undefined {
  const { sealer, keyServer } = issuer;
  const secret = keyServer.held('auth').find(({ secretId }) => secretId === blob.secretId);
  if (secret === undefined) return undefined;
  try {
    const { sessionKey } = openServiceTicket(sealer, secret.key, blob.blob);
    if (!sessionKey.usable) return undefined;
    const ticket = { globalId, serviceId: ENTITY_TYPES.auth!, sessionKey, blob };
    // It does not leave this process, so the nonce may be any.
    const authorizer = buildAuthorizer(sealer, ticket, 0n, (n) => new Uint8Array(n));
    sessionKey.wipe();
    const owner = judgeAuthorizer(issuer, authorizer, 'ring');
    if (owner === undefined) return undefined;
    if (owner.name.type === name.type && owner.name.id === name.id) return owner.sessionKey;
    owner.sessionKey.wipe();
    return undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/**
 * Which of an entity's keys the client has proved. Both generations and both key types are always
 * computed, for an entity that does not exist too; what has no key is computed with one of zeros.
 */
function prove(
  issuer: Issuer,
  entity: EntityRecord | undefined,
  challenges: ChallengeBlob,
  presented: bigint,
): { readonly generation: KeyGeneration | undefined; readonly key: CryptoKey } {
  const present = decodeKey(entity?.key);
  const pending = decodeKey(entity?.pendingKey);
  const isPresent = proves(issuer, present, challenges, presented);
  const isPending = proves(issuer, pending, challenges, presented);
  if (!isPresent && isPending) {
    present.wipe();
    return { generation: 'pending', key: pending };
  }
  pending.wipe();
  return { generation: isPresent ? 'key' : undefined, key: present };
}

function proves(
  { sealer }: Issuer,
  key: CryptoKey,
  challenges: ChallengeBlob,
  presented: bigint,
): boolean {
  let matches = false;
  for (const zeros of ZERO_KEYS) {
    const isIt = key.usable && key.type === zeros.type;
    const hit = challengeHashMatches(sealer, isIt ? key : zeros, challenges, presented);
    matches = matches || (isIt && hit);
  }
  return matches;
}

function decodeKey(encoded: Uint8Array | undefined): CryptoKey {
  return encoded === undefined ? CryptoKey.none() : CryptoKey.decode(new Reader(encoded));
}

function decodeOr(body: Uint8Array): Authenticate | undefined {
  try {
    return decodeAuthenticate(new Reader(body));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

const EPOCH = { seconds: 0, nanoseconds: 0 };
const ZERO_KEYS: readonly CryptoKey[] = [
  new CryptoKey(KEY_TYPE_AES, EPOCH, new Uint8Array(16)),
  new CryptoKey(KEY_TYPE_AES256K, EPOCH, new Uint8Array(32)),
];
const CONNECTION_SECRET_LEN = 64;
