/** Tickets and authorizers for tests, made by src/cephx with the twin's sealing. */

import { buildAuthorizer } from '../src/cephx/authorizer.ts';
import { CryptoKey, type Random, type Sealer } from '../src/cephx/cryptokey.ts';
import { encode, utimeFromNs } from '../src/cephx/denc.ts';
import { capsBuffer, parseEntityName, type TicketBlob } from '../src/cephx/protocol.ts';
import { sealServiceTicket } from '../src/cephx/ticket.ts';
import { twinSealer } from './twin/sealer.ts';

export interface TicketOptions {
  readonly entity?: string;
  readonly globalId?: bigint;
  readonly service?: number;
  readonly secretId?: bigint;
  /** Caps text; null for a ticket without caps. */
  readonly caps?: string | null;
  readonly allowAll?: boolean;
  readonly createdNs?: bigint;
  readonly validNs?: bigint;
  readonly sessionType?: 'aes' | 'aes256k';
}

/** A ticket in the hands of its owner. */
export interface TestTicket {
  readonly sessionKey: CryptoKey;
  readonly blob: TicketBlob;
  /** An authorizer; with a challenge the one that answers it. */
  authorizer(challenge?: bigint): Uint8Array;
}

export const NOW_NS = 1_800_000_000_000_000_000n;
export const HOUR_NS = 3_600_000_000_000n;

/** Seals a ticket under `secret` for a client. */
export function makeTicket(
  secret: CryptoKey,
  random: Random,
  options: TicketOptions = {},
  sealer: Sealer = twinSealer,
): TestTicket {
  const created = utimeFromNs(options.createdNs ?? NOW_NS);
  const expires = utimeFromNs((options.createdNs ?? NOW_NS) + (options.validNs ?? HOUR_NS));
  const name = parseEntityName(options.entity ?? 'client.john');
  if (name === undefined) throw new TypeError(`no entity name: ${options.entity}`);
  const sessionKey = CryptoKey.create(options.sessionType ?? 'aes256k', created, random);
  const globalId = options.globalId ?? 4153n;
  const caps = options.caps === undefined ? 'allow rw pool=liverpool' : (options.caps ?? undefined);
  const ticket = {
    ...{ name, globalId, auid: 0xffffffffffffffffn, created, expires, flags: 0 },
    caps: { allowAll: options.allowAll ?? false, caps: capsBuffer(caps) },
  };
  const info = { ticket, sessionKey };
  const blob = sealServiceTicket(sealer, secret, options.secretId ?? 2n, info, random);
  const owner = { globalId, serviceId: options.service ?? 4, sessionKey, blob };
  return {
    sessionKey,
    blob,
    authorizer(challenge) {
      const nonce = new DataView(random(8).buffer).getBigUint64(0, true);
      return buildAuthorizer(sealer, owner, nonce, random, challenge);
    },
  };
}

/** A service secret and its encoding. */
export function makeSecret(
  type: 'aes' | 'aes256k',
  random: Random,
): { key: CryptoKey; encoded: Uint8Array } {
  const key = CryptoKey.create(type, utimeFromNs(NOW_NS - HOUR_NS), random);
  return { key, encoded: encode(CryptoKey.encode, key) };
}
