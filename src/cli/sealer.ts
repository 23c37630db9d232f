/** The ciphers of cephx done by the engine: what src/cephx is given outside of tests. */

import { PRIMITIVE_HMAC_SHA256 } from '../../assembly/abi.ts';
import type { CryptoKey, Sealer } from '../cephx/cryptokey.ts';
import type { Engine } from '../engine/engine.ts';

/** A Sealer over an engine. Encoded keys are wiped after each call. */
export function engineSealer(engine: Engine): Sealer {
  const withKey = <T>(key: CryptoKey, use: (encoded: Uint8Array) => T): T => {
    const encoded = key.encode();
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
