/**
 * Request 0x0400: a daemon asks for the rotating secrets of its service (Ceph:
 * CephxServiceHandler, KeyServer::get_rotating_encrypted). On the wire the connection proves the
 * name; here an AUTH authorizer does (interface section 4), and each one is taken once.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import {
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_MGR,
  ENTITY_TYPE_MON,
  ENTITY_TYPE_OSD,
} from '../../assembly/abi.ts';
import { CryptoKey, encodeBase64 } from '../cephx/cryptokey.ts';
import { Reader } from '../cephx/denc.ts';
import { type EntityName, entityTypeName, formatEntityName } from '../cephx/protocol.ts';
import { sealRotatingSecrets } from '../cephx/ticket.ts';
import { type CephxAnswer, EACCES, type Issuer, readEntity, refused, wipeKeys } from './issuer.ts';
import type { RotatingService } from './keyserver.ts';
import { type AuthPrincipal, takeAuthAuthorizer } from './serviceticket.ts';

/** Answers a CephXAuthorizer for AUTH. Throws StoreError. */
export async function answerRotatingKeys(
  issuer: Issuer,
  spent: SpentAuthorizers,
  body: Uint8Array,
): Promise<CephxAnswer> {
  const principal = takeAuthAuthorizer(issuer, body)?.principal;
  if (principal === undefined) return refused(EACCES);
  const fresh = spent.spend(principal, issuer.clock());
  principal.sessionKey.wipe();
  if (!fresh) return refused(EACCES);
  return rotatingKeysOf(issuer, principal.name);
}

/**
 * The rotating secrets of a daemon's own service, sealed under its present key; −EACCES for a
 * client, an unknown entity or a service without secrets. The name must have been proved.
 */
export async function rotatingKeysOf(issuer: Issuer, name: EntityName): Promise<CephxAnswer> {
  if (!DAEMON_TYPES.includes(name.type)) return refused(EACCES);
  const entity = await readEntity(issuer, formatEntityName(name));
  const service = entityTypeName(name.type) as RotatingService;
  const rotating = issuer.keyServer.rotatingSecrets(service);
  if (entity === undefined || rotating === undefined) return refused(EACCES);
  const key = CryptoKey.decode(new Reader(entity.key));
  wipeKeys(entity);
  if (!key.usable) return refused(EACCES);
  const payload = sealRotatingSecrets(issuer.sealer, key, rotating, issuer.random);
  key.wipe();
  return { status: 0, payload };
}

/**
 * The authorizers that this instance has taken, as long as their tickets live. An authorizer is
 * known by its session key and nonce, not by its bytes: under `aes` those of the ticket can be
 * altered without the key.
 */
export class SpentAuthorizers {
  readonly #tickets = new Map<string, { expiresNs: bigint; nonces: Set<bigint> }>();

  /** Remembers an authorizer; false if it was taken before, or there are too many. */
  spend(
    principal: Pick<AuthPrincipal, 'sessionKey' | 'nonce' | 'expiresNs'>,
    nowNs: bigint,
  ): boolean {
    const { sessionKey, nonce, expiresNs } = principal;
    const id = encodeBase64(sha256(sessionKey.secret));
    let ticket = this.#tickets.get(id);
    if (ticket === undefined) {
      if (this.#tickets.size >= TICKETS_MAX) this.#sweep(nowNs);
      if (this.#tickets.size >= TICKETS_MAX) return false;
      ticket = { expiresNs, nonces: new Set() };
      this.#tickets.set(id, ticket);
    }
    if (expiresNs > ticket.expiresNs) ticket.expiresNs = expiresNs;
    if (ticket.nonces.has(nonce) || ticket.nonces.size >= NONCES_PER_TICKET_MAX) return false;
    ticket.nonces.add(nonce);
    return true;
  }

  #sweep(nowNs: bigint): void {
    for (const [id, { expiresNs }] of this.#tickets) {
      if (expiresNs + GRACE_NS < nowNs) this.#tickets.delete(id);
    }
  }
}

const DAEMON_TYPES: readonly number[] = [
  ENTITY_TYPE_MON,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_OSD,
  ENTITY_TYPE_MGR,
];
/** An honest daemon asks a few times an hour, so in the life of a ticket a few hundred times. */
const NONCES_PER_TICKET_MAX = 4096;
const TICKETS_MAX = 65_536;
/** Tickets are taken a little longer than they live: clocks differ. */
const GRACE_NS = 3_600_000_000_000n;
