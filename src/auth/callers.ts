/**
 * Who may give commands to a store that no monitor serves: what a monitor does at login, without
 * the exchange, as the caller's key and ours are in one process.
 */

import type { CryptoKey } from '../cephx/cryptokey.ts';
import { equalBytes } from '../cephx/denc.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import type { Address } from '../engine/types.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { mayLogIn, readCiphers } from './cipherpolicy.ts';
import type { Caller, CommandDeps } from './command.ts';
import { AuthDb } from './entities.ts';

/**
 * The caller whose key this is; undefined for an unknown entity, another key, a key type that may
 * not log in, or no mon caps: a monitor tells these cases not apart either. Throws StoreError.
 */
export async function callerOf(
  deps: CommandDeps,
  name: EntityName,
  key: CryptoKey,
  peer: Address | undefined,
): Promise<Caller | undefined> {
  const db = new AuthDb(deps.store, deps.monKeyring);
  try {
    const entity = await db.find(name);
    if (entity === undefined) return undefined;
    const proved = [entity.key, entity.pendingKey].some(
      (each) => each?.usable === true && each.type === key.type && sameSecret(each, key),
    );
    const type = key.typeName;
    const allowed =
      deps.release === 16 ||
      mayLogIn(await readCiphers(deps.store), deps.cipherOptions ?? {}, type);
    const monCaps = monCapsOf(name, entity);
    if (!proved || !allowed || monCaps === undefined) return undefined;
    return { name, monCaps, peer };
  } finally {
    db.wipe();
  }
}

/**
 * A caller that has proved its name before, with its mon caps as they are now; undefined if there
 * is no such entity any more, or none with mon caps. Throws StoreError.
 */
export async function callerNow(
  deps: Pick<CommandDeps, 'store' | 'monKeyring'>,
  name: EntityName,
  peer: Address | undefined,
): Promise<Caller | undefined> {
  const db = new AuthDb(deps.store, deps.monKeyring);
  try {
    const entity = await db.find(name);
    const monCaps = entity && monCapsOf(name, entity);
    return monCaps === undefined ? undefined : { name, monCaps, peer };
  } finally {
    db.wipe();
  }
}

/** Ceph: the monitor's own key may everything, whatever caps stand beside it. */
function monCapsOf(name: EntityName, { caps }: Pick<KeyRingEntity, 'caps'>): string | undefined {
  return formatEntityName(name) === 'mon.' ? 'allow *' : caps.get('mon');
}

function sameSecret(a: CryptoKey, b: CryptoKey): boolean {
  return equalBytes(a.secret, b.secret);
}
