/** What the issuing side works with. Clock, randomness, store and ciphers all come from outside. */

import type { Random, Sealer } from '../cephx/cryptokey.ts';
import type { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import { ENTITIES, type EntityRecord, KEY_LEN_MAX, type Store } from '../store/index.ts';
import type { CipherOptions } from './cipherpolicy.ts';
import type { GlobalIds } from './globalid.ts';
import type { KeyServer } from './keyserver.ts';
import type { KeyUses } from './keyuses.ts';
import type { Revocations } from './revocations.ts';
import { readRecord } from './storecalls.ts';

export interface Issuer {
  readonly sealer: Sealer;
  /** Judges AUTH tickets; holds the key server's secrets and the revocations. */
  readonly engine: Pick<Engine, 'verify'>;
  readonly store: Store;
  readonly keyServer: KeyServer;
  readonly globalIds: GlobalIds;
  readonly revocations: Revocations;
  readonly uses: KeyUses;
  readonly random: Random;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** How AUTH tickets are judged. */
  readonly policy: Partial<Policy>;
  readonly ciphers: CipherOptions;
  /** Ceph: auth_allow_insecure_global_id_reclaim. */
  readonly allowInsecureGlobalIdReclaim: boolean;
  /** A login with the pending key makes it the key, as in Ceph; else `commit` does. */
  readonly autoCommit: boolean;
  /** One line for the operator: why something was refused. Never key bytes. */
  readonly log: (record: Readonly<Record<string, string | number | boolean>>) => void;
}

/** The row of an entity, undefined if there is none. One read of the store whatever the name is. */
export async function readEntity(issuer: Issuer, name: string): Promise<EntityRecord | undefined> {
  // A name that no row can have is looked up like one that merely does not exist.
  const possible = ENTITIES.key(name).length <= KEY_LEN_MAX ? name : NOBODY;
  return (await readRecord(issuer.store, ENTITIES, possible)).record;
}

/** Ends the use of the keys in a row that was read. Caps stay. */
export function wipeKeys(entity: EntityRecord | undefined): void {
  entity?.key.fill(0);
  entity?.pendingKey?.fill(0);
}

/** An answer of cephx: a status of 0 or a negative errno, and what follows the response header. */
export type CephxAnswer =
  | { readonly status: 0; readonly payload: Uint8Array }
  | { readonly status: number; readonly payload: undefined };

export function refused(errno: number): CephxAnswer & { readonly payload: undefined } {
  return { status: -errno, payload: undefined };
}

export const EPERM = 1;
export const EIO = 5;
export const EACCES = 13;
export const EINVAL = 22;
/** An entity type that none has. */
const NOBODY = 'nobody';
