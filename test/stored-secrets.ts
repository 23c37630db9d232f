/** The rotating secrets in the store of a sidecar that has ended. */

import { join } from 'node:path';
import { ROTATING_SERVICES, type RotatingService } from '../src/auth/keyserver.ts';
import { openStore } from '../src/store/open.ts';
import { ROTATING } from '../src/store/records.ts';

export interface StoredSecret {
  readonly service: RotatingService;
  readonly secretId: bigint;
  /** The encoded CryptoKey. */
  readonly key: Uint8Array;
}

/** Reads `cephgate.db` in a data folder. */
export async function storedSecrets(data: string): Promise<StoredSecret[]> {
  const store = await openStore(`sqlite:${join(data, 'cephgate.db')}`);
  try {
    const found: StoredSecret[] = [];
    for (const service of ROTATING_SERVICES) {
      const { entry } = await store.get(ROTATING.key(service), { timeoutMs: 5_000 });
      const secrets = entry === undefined ? [] : ROTATING.decode(entry.value).secrets;
      found.push(...secrets.map(({ secretId, key }) => ({ service, secretId, key })));
    }
    return found;
  } finally {
    await store.close();
  }
}
