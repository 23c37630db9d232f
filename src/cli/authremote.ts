/** The way of `cephgate auth` to an admin listener on TCP: a login, and a session of its own. */

import { webcrypto } from 'node:crypto';
import { CephxClientHandler, engineSealer } from '../cephx/client.ts';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { CephxHttpClient } from '../cephx/httpclient.ts';
import type { EntityName } from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import { AdminClient } from '../http/adminclient.ts';

export interface RemoteSession {
  readonly client: AdminClient;
  close(): void;
}

/**
 * Logs in where tickets are had, and opens a session; undefined if either is refused. The key is
 * not needed after that, and the caller's to wipe. Throws RequestError.
 *
 * @param adminUrl the admin listener
 * @param ticketUrl the sidecar that issues tickets
 */
export async function openRemote(
  adminUrl: string,
  ticketUrl: string,
  name: EntityName,
  key: CryptoKey,
): Promise<RemoteSession | undefined> {
  if (!key.usable) return undefined;
  const engine = await Engine.create({ preset: 'small' });
  const handler = new CephxClientHandler({
    ...{ name, key, clock },
    sealer: engineSealer(engine),
    random: (n) => webcrypto.getRandomValues(new Uint8Array(n)),
  });
  const tickets = new CephxHttpClient(handler, { url: ticketUrl });
  const client = new AdminClient({ tickets, url: adminUrl, clock });
  const close = (): void => {
    client.close();
    handler.wipe();
    engine.wipe();
  };
  try {
    if ((await client.logIn()).ok) return { client, close };
  } catch (error) {
    close();
    throw error;
  }
  close();
  return undefined;
}

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
