/** A client in tests: the sidecar that issues and verifies, reached by a fetch without a socket. */

import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { CephxClientHandler } from '../src/cephx/client.ts';
import type { CryptoKey, Sealer } from '../src/cephx/cryptokey.ts';
import { CephxHttpClient, type Fetch, SidecarClient } from '../src/cephx/httpclient.ts';
import { ENTITY_TYPES, parseEntityName } from '../src/cephx/protocol.ts';
import { createApp } from '../src/http/app.ts';
import type { Listener } from '../src/http/callers.ts';
import { BODY_LIMITS } from '../src/http/deps.ts';
import { State } from '../src/http/state.ts';
import { BOTH_CIPHERS, entity, freshKey, Rig, type RigOptions } from './auth-issue-kit.ts';
import { HOST, TCP, UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

export const MON: number = ENTITY_TYPES.mon!;
export const OSD: number = ENTITY_TYPES.osd!;
export const MGR: number = ENTITY_TYPES.mgr!;
export const AUTH: number = ENTITY_TYPES.auth!;
export const HOUR_NS = 3_600_000_000_000n;
export const rng: Rng = new Rng(seedOf(61));
const CAPS = { mon: 'allow r', osd: 'allow rw pool=liverpool' };

/** A sidecar that issues and verifies with one store, one engine and a clock that tests set. */
export class Sidecar {
  readonly rig: Rig;
  readonly app: ReturnType<typeof createApp>;
  readonly keys: Readonly<Record<string, CryptoKey>>;
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** What stands between the client and the server: it may alter, or fail. */
  between: (path: string, response: Response) => Promise<Response> = async (_, same) => same;

  private constructor(rig: Rig, keys: Readonly<Record<string, CryptoKey>>) {
    this.rig = rig;
    this.keys = keys;
    this.app = createApp({
      engine: rig.engine,
      ring: new KeyServerRing(rig.keyServer),
      state: new State({
        keys: { current: rng.bytes(32), previous: undefined },
        random: rng.random,
      }),
      policy: {},
      clock: () => rig.nowNs,
      random: rng.random,
      log: () => undefined,
      sign: false,
      allowUnchallengedVerdict: false,
      body: BODY_LIMITS,
      issuer: rig.handler,
    });
  }

  static async create(
    type: 'aes' | 'aes256k' = 'aes256k',
    options: Omit<RigOptions, 'entities'> = {},
  ): Promise<Sidecar> {
    const keys = {
      john: freshKey(type, rng),
      nocaps: freshKey(type, rng),
      osd: freshKey(type, rng),
    };
    const entities = {
      'client.john': entity(keys.john, CAPS),
      'client.nocaps': entity(keys.nocaps, {}),
      'osd.0': entity(keys.osd, { mon: 'allow profile osd', osd: 'allow *' }),
    };
    return new Sidecar(await Rig.create({ ciphers: BOTH_CIPHERS, ...options, entities }), keys);
  }

  fetch(listener: Listener): Fetch {
    return async (url, init) => {
      const { pathname } = new URL(url);
      this.asked.push(pathname);
      const headers = { ...(init.headers as Record<string, string>), host: HOST };
      const response = await this.app.request(pathname, { ...init, headers }, { listener });
      return this.between(pathname, response);
    };
  }

  client(name = 'client.john', key: CryptoKey = this.keys.john!): CephxHttpClient {
    const handler = makeHandler(name, key, () => this.rig.nowNs);
    return new CephxHttpClient(handler, { url: `http://${HOST}`, fetch: this.fetch(TCP) });
  }

  /** A node's client of the sidecar, with the right to accept. */
  node(): SidecarClient {
    return new SidecarClient({ url: 'http://localhost', fetch: this.fetch(UNIX) });
  }
}

export function makeHandler(
  name: string,
  key: CryptoKey,
  clock: () => bigint,
  sealer: Sealer = twinSealer,
): CephxClientHandler {
  const entityName = parseEntityName(name)!;
  return new CephxClientHandler({ name: entityName, key, sealer, random: rng.random, clock });
}
