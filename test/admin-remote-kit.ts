/** The admin listener on TCP, in this process, with everything that goes over the wire in hand. */

import type { CephxHttpClient } from '../src/cephx/httpclient.ts';
import { ENTITY_TYPES } from '../src/cephx/protocol.ts';
import { ADMIN_BODY_LIMITS, createAdminApp } from '../src/http/admin.ts';
import { AdminClient, type AdminReply } from '../src/http/adminclient.ts';
import type { RemoteAdmin } from '../src/http/adminremote.ts';
import { AdminSessions } from '../src/http/adminsessions.ts';
import { RateLimiter } from '../src/http/ratelimit.ts';
import { State } from '../src/http/state.ts';
import { AdminKit } from './admin-kit.ts';

/** What was sent, to be sent again or in another form. */
export interface Sent {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array | undefined;
}

/** Stands between client and server; gives what the client gets. */
export type Wire = (sent: Sent, deliver: (sent: Sent) => Promise<Response>) => Promise<Response>;

export interface RemoteOptions {
  readonly tls?: boolean;
  readonly rates?: RateLimiter;
}

export class RemoteKit {
  readonly kit: AdminKit;
  readonly remote: RemoteAdmin;
  readonly app: ReturnType<typeof createAdminApp>;
  readonly origin: string;
  /** Everything that was sent, in order. */
  readonly sent: Sent[] = [];
  wire: Wire = (sent, deliver) => deliver(sent);
  from = '192.0.2.1';
  /** Of the client that was made last. */
  tickets: CephxHttpClient | undefined;

  private constructor(kit: AdminKit, { tls = false, rates }: RemoteOptions) {
    this.kit = kit;
    const { random } = kit.rng;
    const { engine, ring, policy, allowUnchallengedVerdict } = kit.appDeps;
    this.remote = {
      sessions: new AdminSessions(engine, () => policy, random),
      verify: {
        ...{ engine, ring, policy, random, allowUnchallengedVerdict },
        state: new State({ keys: { current: random(32), previous: undefined }, random }),
      },
      rates: rates ?? new RateLimiter(undefined),
      tls,
    };
    const deps = { ...kit.deps, body: ADMIN_BODY_LIMITS, inClear: !tls };
    this.app = createAdminApp(deps, this.remote);
    this.origin = `${tls ? 'https' : 'http'}://${HOST}`;
  }

  static async create(
    entities: Parameters<typeof AdminKit.create>[0],
    options: RemoteOptions = {},
  ): Promise<RemoteKit> {
    return new RemoteKit(await AdminKit.create(entities), options);
  }

  client(name: string): AdminClient {
    const tickets = this.kit.client(name);
    this.tickets = tickets;
    return new AdminClient({
      tickets,
      url: this.origin,
      clock: () => this.kit.rig.nowNs,
      fetch: (url, init) => {
        const headers = new Headers(init.headers);
        const body =
          typeof init.body === 'string' ? new TextEncoder().encode(init.body) : init.body;
        const method = init.method ?? 'GET';
        const sent = { url, method, headers, body: (body ?? undefined) as Uint8Array | undefined };
        this.sent.push(sent);
        return this.wire(sent, (each) => this.deliver(each));
      },
    });
  }

  /** The session key of its ticket for the monitor. */
  get ticketSecret(): Uint8Array {
    return this.tickets!.handler.tickets.held(ENTITY_TYPES.mon!)!.sessionKey.secret;
  }

  /** A client that has logged in. */
  async loggedIn(name: string): Promise<AdminClient> {
    const client = this.client(name);
    const login = await client.logIn();
    if (!login.ok) throw new Error(login.reason);
    return client;
  }

  /** To the server as it is. */
  async deliver({ url, method, headers, body }: Sent): Promise<Response> {
    const all = new Headers(headers);
    if (!all.has('host')) all.set('host', new URL(url).host);
    const payload = body as Uint8Array<ArrayBuffer> | undefined;
    const init = { method, headers: all, ...(payload && { body: payload }) };
    const hosts = new Set([HOST, 'admin.other:6481']);
    const listener = { kind: 'tcp', hosts, remote: this.from } as const;
    return await this.app.request(url, init, { listener });
  }
}

/** Gives the JSON of an answer. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
export function json({ body }: AdminReply): any {
  return JSON.parse(new TextDecoder().decode(body));
}

export const HOST = 'admin.test:6481';
