/**
 * When service secrets rotate (Ceph: KeyServer::_rotate_secret, RotatingSecrets; spec section 14).
 * Pure: a ring and a time in, a ring out.
 *
 *   secrets in the order of their ids:  previous · current · next
 *
 * Tickets are sealed with `current`, so every verifier has known a secret for a whole ttl (as
 * `next`) before it seals, and keeps it for a whole ttl (as `previous`) after.
 */

import type { RotatingRecord, RotatingSecret } from '../store/records.ts';

/** The ring of a service that has none yet. */
export const NO_SECRETS: RotatingRecord = { secretIdMax: 0n, secrets: [] };

/**
 * The ring as it has to be at a time: the same object if nothing is due. `makeKey` gives the
 * encoded CryptoKey of a new secret.
 */
export function rotated(
  ring: RotatingRecord,
  nowNs: bigint,
  ttlNs: bigint,
  makeKey: () => Uint8Array,
): RotatingRecord {
  let turned = ring;
  while (isDue(turned, nowNs)) turned = withNext(turned, nowNs, ttlNs, makeKey());
  return turned;
}

/** The ring with one more secret, the oldest dropped if there were three. */
export function withNext(
  ring: RotatingRecord,
  nowNs: bigint,
  ttlNs: bigint,
  key: Uint8Array,
): RotatingRecord {
  const next = ring.secrets.at(-1);
  // Ceph: the very first one lives one ttl, every other one a ttl longer than `next`.
  let startNs = nowNs;
  if (next !== undefined) startNs += ttlNs;
  if (next !== undefined && next.expiresNs > startNs) startNs = next.expiresNs;
  const secretId = ring.secretIdMax + 1n;
  const secrets = [...ring.secrets, { secretId, key, expiresNs: startNs + ttlNs }];
  return { secretIdMax: secretId, secrets: secrets.slice(-KEY_ROTATE_NUM) };
}

/** Fewer than three secrets, or the current one has expired. */
export function isDue(ring: RotatingRecord, nowNs: bigint): boolean {
  return dueNs(ring.secrets) <= nowNs;
}

/** When the ring is due; 0n for one that is not complete. */
export function dueNs(secrets: readonly Pick<RotatingSecret, 'expiresNs'>[]): bigint {
  return secrets.length < KEY_ROTATE_NUM ? 0n : secrets[CURRENT]!.expiresNs;
}

/**
 * The secret that seals tickets now: the current one, or the next one if rotation is late.
 * Undefined
 * when there is none, or none that has not expired.
 */
export function sealingSecret<T extends Pick<RotatingSecret, 'expiresNs'>>(
  secrets: readonly T[],
  nowNs: bigint,
): T | undefined {
  return secrets
    .slice(Math.min(CURRENT, secrets.length - 1))
    .find((each) => nowNs < each.expiresNs);
}

/** How long a ticket sealed now may live: the ttl, but not beyond the newest secret. */
export function ticketLifeNs(
  secrets: readonly Pick<RotatingSecret, 'expiresNs'>[],
  nowNs: bigint,
  ttlNs: bigint,
): bigint {
  const leftNs = (secrets.at(-1)?.expiresNs ?? nowNs) - nowNs;
  return leftNs < ttlNs ? leftNs : ttlNs;
}

/** Secrets kept for a service. */
export const KEY_ROTATE_NUM = 3;
/** Place of the current secret among the three. */
const CURRENT = 1;
