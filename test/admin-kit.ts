/** A sidecar that issues, verifies and is administered, in this process: one store, one engine. */

import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { readHealth } from '../src/auth/openissuer.ts';
import type { StoreView } from '../src/auth/storeview.ts';
import { CephxClientHandler } from '../src/cephx/client.ts';
import type { CryptoKey } from '../src/cephx/cryptokey.ts';
import { CephxHttpClient, type Fetch } from '../src/cephx/httpclient.ts';
import { ENTITY_TYPES, parseEntityName } from '../src/cephx/protocol.ts';
import { ADMIN_BODY_LIMITS, type AdminDeps, createAdminApp } from '../src/http/admin.ts';
import { HealthCodes } from '../src/http/adminhealth.ts';
import { createApp } from '../src/http/app.ts';
import { type AppDeps, BODY_LIMITS } from '../src/http/deps.ts';
import { State } from '../src/http/state.ts';
import { entity, freshKey, Rig, type RigOptions } from './auth-issue-kit.ts';
import { commandDeps } from './auth-kit.ts';
import { b64, bytesOf, HOST, JSON_HEADERS, newConnection, UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

export interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
  readonly body: any;
  readonly text: string;
  readonly headers: Headers;
}

/** What a node of the cluster has of a client. */
export interface Accepted {
  readonly session: string;
  /** Verifies the client once more, on a connection of its own. */
  verify(): Promise<Reply>;
  /** A read in pool `liverpool`. */
  check(): Promise<Reply>;
}

interface AdminKitOptions extends RigOptions {
  /** Where the store is one that others change too. */
  readonly viewOf?: (rig: Rig) => StoreView;
}

export class AdminKit {
  readonly logs: object[] = [];
  readonly rig: Rig;
  readonly rng: Rng = new Rng(seedOf(77));
  readonly keys: Readonly<Record<string, CryptoKey>>;
  readonly ending: AbortController = new AbortController();
  readonly deps: AdminDeps;
  readonly appDeps: AppDeps;
  readonly app: ReturnType<typeof createApp>;
  readonly admin: ReturnType<typeof createAdminApp>;

  private constructor(rig: Rig, keys: Readonly<Record<string, CryptoKey>>, view?: StoreView) {
    this.rig = rig;
    this.keys = keys;
    const { engine, store, issuer } = rig;
    const ring = new KeyServerRing(rig.keyServer, view);
    const health = () => readHealth(issuer);
    const clock = () => rig.nowNs;
    this.deps = {
      command: commandDeps({ store, release: 20, guard: true, clock, engine: async () => engine }),
      body: ADMIN_BODY_LIMITS,
      log: (record) => void this.logs.push(record),
      ending: this.ending.signal,
      ...{ ring, issuer, health, view, revocations: issuer.revocations },
    };
    const { random } = this.rng;
    this.appDeps = {
      ...{ engine, ring, view, clock, random, issuer: rig.handler, policy: {}, body: BODY_LIMITS },
      state: new State({ keys: { current: random(32), previous: undefined }, random }),
      health: (() => {
        const codes = new HealthCodes(health, clock);
        return () => codes.codes();
      })(),
      log: () => undefined,
      sign: true,
      allowUnchallengedVerdict: false,
    };
    this.app = createApp(this.appDeps);
    this.admin = createAdminApp(this.deps);
  }

  /** @param entities caps by name; each has a key in `keys` */
  static async create(
    entities: Readonly<Record<string, Readonly<Record<string, string>>>>,
    { viewOf, ...options }: AdminKitOptions = {},
  ): Promise<AdminKit> {
    const rng = new Rng(seedOf(78));
    const keys = Object.fromEntries(
      Object.keys(entities).map((name) => [name, freshKey('aes256k', rng)]),
    );
    const records = Object.fromEntries(
      Object.entries(entities).map(([name, caps]) => [name, entity(keys[name]!, caps)]),
    );
    const rig = await Rig.create({ entities: records, ...options });
    return new AdminKit(rig, keys, viewOf?.(rig));
  }

  /** A call of the admin listener on its unix socket. */
  async call(method: string, path: string, body?: unknown): Promise<Reply> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    return replyOf(await this.admin.request(`http://localhost/v1/admin${path}`, init, ENV));
  }

  /** A call of the sidecar on its unix socket. */
  async post(path: string, body: unknown): Promise<Reply> {
    const init = { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(body) };
    return replyOf(await this.app.request(path, init, ENV));
  }

  async get(path: string): Promise<Reply> {
    return replyOf(await this.app.request(path, { headers: { host: HOST } }, ENV));
  }

  client(name: string, key: CryptoKey = this.keys[name]!): CephxHttpClient {
    const { random } = this.rng;
    const clock = () => this.rig.nowNs;
    const parsed = parseEntityName(name)!;
    const handler = new CephxClientHandler({
      ...{ name: parsed, key, sealer: twinSealer, random, clock },
    });
    const fetch: Fetch = async (url, init) =>
      await this.app.request(new URL(url).pathname, init, ENV);
    return new CephxHttpClient(handler, { url: 'http://localhost', fetch });
  }

  /** Logs a client in and takes it to a session of service `osd`. */
  async accept(client: CephxHttpClient): Promise<Accepted> {
    const login = await client.ensure(OSD);
    if (!login.ok) throw new Error(`no login: ${login.reason}`);
    const verify = () => this.#verify(client);
    const final = await verify();
    const { session } = final.body;
    const op = { pool: 'liverpool', object: 'o1', read: true };
    const check = () => this.post('/v1/check', { service: 'osd', session, op });
    return { session, verify, check };
  }

  async #verify(client: CephxHttpClient): Promise<Reply> {
    const found = client.handler.authorizer(OSD);
    if (!found.ok) throw new Error(found.reason);
    const base = { service: 'osd', connection: newConnection() };
    const first = await this.post('/v1/verify', { ...base, authorizer: b64(found.value.first()) });
    if (first.body.challenge === undefined) return first;
    const answer = found.value.answer(bytesOf(first.body.challenge));
    if (!answer.ok) throw new Error(answer.reason);
    const { challenge_state } = first.body;
    return this.post('/v1/verify', { ...base, authorizer: b64(answer.value), challenge_state });
  }
}

export async function replyOf(response: Response): Promise<Reply> {
  const text = await response.text();
  const { status, headers } = response;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return { status, headers, text, body };
}

const ENV = { listener: UNIX };
const OSD = ENTITY_TYPES.osd!;
