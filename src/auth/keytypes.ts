/** Which type a new key has, and whether such a key may be made (Ceph: AuthMonitor of 2026). */

import { CryptoKey } from '../cephx/cryptokey.ts';
import { utimeFromNs } from '../cephx/denc.ts';
import { mayCreate, readCiphers } from './cipherpolicy.ts';
import { type Call, EINVAL, type NewKeyType, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';

/**
 * The type that the command asks for; the preferred one if it asks for none. Release 16 knows `aes`
 * alone. Throws Refusal.
 */
export async function keyTypeOf(
  call: Call,
  typed: string = typedKeyType(call),
): Promise<NewKeyType> {
  if (call.release === 16) return 'aes';
  const ciphers = await readCiphers(call.deps.store);
  const lower = typed.toLowerCase();
  const type = KEY_TYPE_NAMES.find(
    (each) => each === (lower === PREFERRED ? ciphers.preferred : lower),
  );
  if (type === undefined) throw new Refusal(EINVAL, TEXTS.invalidKeyType(typed));
  const shown = lower === PREFERRED ? `\`${PREFERRED}' AKA ${type}` : type;
  const options = call.deps.cipherOptions ?? {};
  if (type !== 'aes256k' && !mayCreate(ciphers, options, 'aes')) {
    throw new Refusal(EINVAL, TEXTS.insecureKeyType(shown));
  }
  if (!ciphers.allowed.includes(type)) throw new Refusal(EINVAL, TEXTS.keyTypeNotAllowed(shown));
  return type;
}

/** A new key, wiped with the others when the command ends. */
export function newKey({ deps, db }: Call, type: NewKeyType): CryptoKey {
  const created = utimeFromNs(deps.clock());
  return db.keep(
    type === 'none'
      ? new CryptoKey(0, created, new Uint8Array(0))
      : CryptoKey.create(type, created, deps.random),
  );
}

function typedKeyType({ args }: Call): string {
  const { key_type: typed } = args;
  return typeof typed === 'string' && typed !== '' ? typed : PREFERRED;
}

const PREFERRED = 'preferred';
const KEY_TYPE_NAMES: readonly NewKeyType[] = ['none', 'aes', 'aes256k'];
