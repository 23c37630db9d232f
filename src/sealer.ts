/**
 * The engine as the Sealer that src/cephx asks for: sealing and opening in the core.
 */

import { PRIMITIVE_HMAC_SHA256 } from '../assembly/abi.ts';
import { type CryptoKey, CryptoKey as Key, type Sealer } from './cephx/cryptokey.ts';
import { encode } from './cephx/denc.ts';
import type { Engine } from './engine/engine.ts';

/** A Sealer backed by `engine`. Encoded keys are wiped after each use. */
export function engineSealer(engine: Engine): Sealer {
  const withKey = <T>(key: CryptoKey, use: (encoded: Uint8Array) => T): T => {
    const encoded = encode(Key.encode, key);
    try {
      return use(encoded);
    } finally {
      encoded.fill(0);
    }
  };
  return {
    seal: (key, usage, plaintext, confounder) =>
      withKey(key, (encoded) => engine.seal(encoded, usage, plaintext, { confounder })),
    open: (key, usage, ciphertext) =>
      withKey(key, (encoded) => engine.open(encoded, usage, ciphertext)),
    hmacSha256: (key, data) => engine.primitive(PRIMITIVE_HMAC_SHA256, key.secret, data),
  };
}
