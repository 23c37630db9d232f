/**
 * Tickets as a monitor makes them, and request 0x0200: service tickets for the holder of an AUTH
 * ticket (Ceph: KeyServer::build_session_auth_info, CephxServiceHandler; spec sections 8 and 11).
 */

import { ENTITY_TYPE_AUTH, KEY_TYPE_AES, USAGE_AUTHORIZE } from '../../assembly/abi.ts';
import { CryptoKey, openObject } from '../cephx/cryptokey.ts';
import { DecodeError, decode, decodeUtf8, Reader, utimeFromNs, utimeNs } from '../cephx/denc.ts';
import {
  AUID_DEFAULT,
  capsBuffer,
  decodeAuthorize,
  decodeAuthorizer,
  decodeServiceTicketRequest,
  ENTITY_TYPES,
  type EntityName,
  formatEntityName,
} from '../cephx/protocol.ts';
import { type ServiceTicketGrant, sealServiceTicket, sealTicketReply } from '../cephx/ticket.ts';
import type { Expiry } from '../engine/types.ts';
import type { EntityRecord } from '../store/records.ts';
import {
  type CephxAnswer,
  EACCES,
  EPERM,
  type Issuer,
  readEntity,
  refused,
  wipeKeys,
} from './issuer.ts';
import { ROTATING_SERVICES, type RotatingService } from './keyserver.ts';

/** For whom a ticket is. */
export interface Principal {
  readonly name: EntityName;
  readonly globalId: bigint;
}

/** The holder of an AUTH ticket, proved by an authorizer. */
export interface AuthPrincipal extends Principal {
  /** The AUTH session key; the caller wipes it. */
  readonly sessionKey: CryptoKey;
  /** Of the authorizer. */
  readonly nonce: bigint;
  readonly expiresNs: bigint;
}

/** Answers CephXAuthorizer + CephXServiceTicketRequest. Throws StoreError. */
export async function answerServiceTickets(issuer: Issuer, body: Uint8Array): Promise<CephxAnswer> {
  const taken = takeAuthAuthorizer(issuer, body);
  if (taken === undefined) return refused(EACCES);
  const { principal, rest } = taken;
  try {
    let keys: number;
    try {
      keys = decodeServiceTicketRequest(rest);
    } catch (error) {
      if (error instanceof DecodeError) return refused(EPERM);
      throw error;
    }
    // Caps as they are now, not as they were at login.
    const entity = await readEntity(issuer, formatEntityName(principal.name));
    wipeKeys(entity);
    if (entity === undefined) return refused(EACCES);
    const grants = grantServices(issuer, principal, entity, principal.sessionKey.type, keys);
    const { sealer, random } = issuer;
    return { status: 0, payload: sealTicketReply(sealer, principal.sessionKey, grants, random) };
  } finally {
    principal.sessionKey.wipe();
  }
}

/**
 * Tickets for the services of a mask; bits of AUTH, of no service, and of none ready are skipped.
 */
export function grantServices(
  issuer: Issuer,
  principal: Principal,
  entity: EntityRecord,
  authKeyType: number,
  mask: number,
): ServiceTicketGrant[] {
  const wanted = ROTATING_SERVICES.filter(
    (service) => service !== 'auth' && (mask & ENTITY_TYPES[service]!) !== 0,
  );
  // In the order of their bits, as Ceph walks them.
  wanted.sort((a, b) => ENTITY_TYPES[a]! - ENTITY_TYPES[b]!);
  const grants = wanted.map((service) => {
    // Ceph: tickets for MON have no caps in 16.2.15, and have them in 19.2.6.
    const isBlank = service === 'mon' && issuer.policy.release === 16;
    const caps = isBlank ? undefined : entity.caps.get(service);
    return makeTicket(issuer, principal, service, caps, authKeyType);
  });
  return grants.filter((grant) => grant !== undefined);
}

/**
 * Makes a ticket for one service with a fresh session key: of type `keyType`, or `aes` if the
 * service's secret is (the ticket is then no stronger). Undefined if the service has no secret.
 */
export function makeTicket(
  issuer: Issuer,
  principal: Principal,
  service: RotatingService,
  caps: string | undefined,
  keyType: number,
): ServiceTicketGrant | undefined {
  const { sealer, random, clock, keyServer } = issuer;
  const sealing = keyServer.sealing(service, clock());
  if (sealing === undefined) return undefined;
  // Ceph reads the clock once for the secret, once for the ticket and once for the key in it.
  const createdNs = clock();
  const weak =
    keyType === KEY_TYPE_AES || (service !== 'auth' && sealing.key.type === KEY_TYPE_AES);
  const type = weak ? 'aes' : 'aes256k';
  const sessionKey = CryptoKey.create(type, utimeFromNs(clock()), random);
  const ticket = {
    ...principal,
    auid: AUID_DEFAULT,
    created: utimeFromNs(createdNs),
    expires: utimeFromNs(createdNs + sealing.lifeNs),
    caps: { allowAll: false, caps: capsBuffer(caps) },
    flags: 0,
  };
  const info = { ticket, sessionKey };
  const blob = sealServiceTicket(sealer, sealing.key, sealing.secretId, info, random);
  const validity = utimeFromNs(sealing.lifeNs);
  return { serviceId: ENTITY_TYPES[service]!, sessionKey, validity, blob };
}

/**
 * Reads an authorizer for AUTH, which comes without a challenge, and has the core judge it. `rest`
 * is what follows it.
 */
export function takeAuthAuthorizer(
  issuer: Issuer,
  bytes: Uint8Array,
): { readonly principal: AuthPrincipal; readonly rest: Reader } | undefined {
  const rest = new Reader(bytes);
  try {
    decodeAuthorizer(rest);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
  const principal = judgeAuthorizer(issuer, bytes.subarray(0, bytes.length - rest.left));
  return principal && { principal, rest };
}

/** The holder of the AUTH ticket in an authorizer, if the core accepts it. */
export function judgeAuthorizer(
  issuer: Issuer,
  authorizer: Uint8Array,
  expiry?: Expiry,
): AuthPrincipal | undefined {
  const policy = expiry === undefined ? issuer.policy : { ...issuer.policy, expiry };
  const verdict = issuer.engine.verify(
    { service: ENTITY_TYPE_AUTH, authorizer, challenge: { mode: 'off' }, secrets: true },
    { nowNs: issuer.clock(), policy },
  );
  const { secrets } = verdict;
  if (!verdict.decision || secrets === undefined) {
    issuer.log({ event: 'auth_ticket_refused', check: verdict.check });
    return undefined;
  }
  try {
    const sessionKey = CryptoKey.decode(new Reader(secrets.sessionKey));
    if (!isFirstAuthorize(issuer, sessionKey, authorizer)) {
      sessionKey.wipe();
      return undefined;
    }
    return {
      name: { type: verdict.entityType, id: decodeUtf8(verdict.entityIdBytes) },
      globalId: verdict.globalId,
      sessionKey,
      nonce: secrets.nonce,
      expiresNs: utimeNs(verdict.expires),
    };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  } finally {
    secrets.sessionKey.fill(0);
  }
}

/**
 * Whether part b is what a client seals before any challenge: version 2, have_challenge and
 * plus_one zero. Ceph does not look. But under `aes` everything that the monitor seals with the
 * AUTH
 * session key decodes as a CephXAuthorize of another version, and a changed second block as one
 * with
 * other fields: with this, neither a reflected reply nor an altered copy is an authorizer.
 */
function isFirstAuthorize(issuer: Issuer, key: CryptoKey, authorizer: Uint8Array): boolean {
  const { sealed } = decode(decodeAuthorizer, authorizer, 'reject');
  const object = openObject(issuer.sealer, key, USAGE_AUTHORIZE, sealed, { prefixed: false });
  const version = object[0];
  const { answer } = decode(decodeAuthorize, object, 'ignore');
  return version === 2 && answer?.haveChallenge === false && answer.plusOne === 0n;
}
