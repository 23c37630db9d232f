/** The cephx routes of the sidecar, and the circle over HTTP alone: login, ticket, /v1/verify. */

import { describe, expect, test } from 'vitest';
import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { openAuthorizeChallenge, openAuthorizeReply } from '../src/cephx/authorizer.ts';
import { decode } from '../src/cephx/denc.ts';
import {
  decodeServerChallenge,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
} from '../src/cephx/protocol.ts';
import { createApp } from '../src/http/app.ts';
import type { Listener } from '../src/http/callers.ts';
import { type AppDeps, BODY_LIMITS } from '../src/http/deps.ts';
import { State } from '../src/http/state.ts';
import {
  authenticateBytes,
  authorizerOf,
  helloBytes,
  readLogin,
  requestBytes,
} from './auth-issue-client.ts';
import { entity, freshKey, Rig } from './auth-issue-kit.ts';
import { b64, bytesOf, HOST, JSON_HEADERS, Kit, TCP, UNIX } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { toHex } from './twin/load.ts';
import { twinSealer } from './twin/sealer.ts';

const rng = new Rng(seedOf(59));
const key = freshKey('aes256k', rng);
const CAPS = { mon: 'allow r', osd: 'allow rw pool=liverpool' };

/** A sidecar that issues and verifies with one store and one engine. */
class Sidecar {
  readonly rig: Rig;
  readonly app: ReturnType<typeof createApp>;

  private constructor(rig: Rig) {
    this.rig = rig;
    const deps: AppDeps = {
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
    };
    this.app = createApp(deps);
  }

  static async create(): Promise<Sidecar> {
    const entities = {
      'client.john': entity(key, CAPS),
      'client.nocaps': entity(key, {}),
      'osd.0': entity(key, CAPS),
    };
    return new Sidecar(await Rig.create({ entities }));
  }

  async post(
    path: string,
    payload: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
    listener: Listener = TCP,
  ) {
    const body = payload as Uint8Array<ArrayBuffer>;
    const all = { 'content-type': 'application/octet-stream', host: HOST, ...headers };
    const init = { method: 'POST', headers: all, body };
    const response = await this.app.request(`/v1/cephx/${path}`, init, { listener });
    return {
      status: response.status,
      headers: response.headers,
      payload: new Uint8Array(await response.arrayBuffer()),
    };
  }

  async hello(name: string) {
    const { payload, headers } = await this.post('hello', helloBytes(name));
    const server = decode(decodeServerChallenge, payload, 'reject');
    return { server, token: headers.get('cephgate-exchange')! };
  }

  async logIn(name: string, own = key) {
    const { server, token } = await this.hello(name);
    const bytes = authenticateBytes(own, server, rng);
    const answer = await this.post('request', bytes, { 'cephgate-exchange': token });
    const globalId = BigInt(answer.headers.get('cephgate-global-id') ?? 0);
    return {
      ...answer,
      login: readLogin({ payload: answer.payload, globalId }, own),
      bytes,
      token,
    };
  }

  async verify(body: object) {
    const init = { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(body) };
    return (await this.app.request('/v1/verify', init, { listener: UNIX })).json();
  }
}

describe('cephx over HTTP', () => {
  test('login, service ticket, authorizer, challenge, verdict, proof of the service', async () => {
    const sidecar = await Sidecar.create();
    const { login, status, headers } = await sidecar.logIn('client.john');
    expect([status, login.status, login.globalId]).toEqual([200, 0, 4097n]);
    expect(headers.get('cache-control')).toBe('no-store');
    const auth = authorizerOf(login.auth, login.globalId, rng);
    const answer = await sidecar.post('request', requestBytes(GET_PRINCIPAL_SESSION_KEY, auth));
    expect(toHex(answer.payload.subarray(0, 6))).toBe('000200000000');
    const osd = login.services.find(({ serviceId }) => serviceId === 4)!;
    const base = { service: 'osd', peer: '192.0.2.7', connection: 'c1' };
    const first = authorizerOf(osd, login.globalId, rng);
    const asked = await sidecar.verify({ ...base, authorizer: b64(first) });
    expect(asked.reason.code).toBe('authorizer.challenge_required');
    const challenge = openAuthorizeChallenge(twinSealer, osd.sessionKey, bytesOf(asked.challenge));
    const second = authorizerOf(osd, login.globalId, rng, challenge);
    const { challenge_state } = asked;
    const verdict = await sidecar.verify({ ...base, authorizer: b64(second), challenge_state });
    expect(verdict).toMatchObject({
      decision: true,
      entity: 'client.john',
      global_id: '4097',
      caps: CAPS.osd,
      integrity: 'mac',
    });
    const nonce = nonceOf(sidecar, second);
    expect(
      openAuthorizeReply(twinSealer, osd.sessionKey, nonce, bytesOf(verdict.reply)).length,
    ).toBe(0);
  });

  /** The nonce of an authorizer, as the core hands it out. */
  function nonceOf(sidecar: Sidecar, authorizer: Uint8Array): bigint {
    const request = { service: 4, authorizer, challenge: { mode: 'off' }, secrets: true } as const;
    return sidecar.rig.engine.verify(request, { nowNs: sidecar.rig.nowNs }).secrets!.nonce;
  }

  test('a refusal says nothing: status, headers and bytes are the same', async () => {
    const sidecar = await Sidecar.create();
    const seen = new Set<string>();
    for (const [name, own] of [
      ['client.nobody', key],
      ['client.john', freshKey('aes256k', rng)],
      ['client.john', freshKey('aes', rng)],
      ['client.nocaps', key],
    ] as const) {
      const { status, headers, payload } = await sidecar.logIn(name, own);
      // Every answer has an id of its own.
      headers.delete('cephgate-request-id');
      seen.add(`${status} ${JSON.stringify([...headers])} ${toHex(payload)}`);
    }
    expect(seen.size).toBe(1);
    expect([...seen][0]).toMatch(/^200 .* 0001f3ffffff$/);
    expect([...seen][0]).not.toContain('global-id');
  });

  test('a replayed exchange token is refused, and is good for 0x0100 only', async () => {
    const sidecar = await Sidecar.create();
    const { bytes, token } = await sidecar.logIn('client.john');
    const again = await sidecar.post('request', bytes, { 'cephgate-exchange': token });
    expect(toHex(again.payload)).toBe('0001f3ffffff');
    expect(toHex((await sidecar.post('request', bytes)).payload)).toBe('0001f3ffffff');
    const osd = await sidecar.hello('osd.0');
    const bare = Uint8Array.from([0, 4]);
    const secrets = await sidecar.post('request', bare, { 'cephgate-exchange': osd.token });
    expect(toHex(secrets.payload)).toBe('0004f3ffffff');
    // The token was not spent by that.
    const login = authenticateBytes(key, osd.server, rng);
    const answer = await sidecar.post('request', login, { 'cephgate-exchange': osd.token });
    expect(toHex(answer.payload.subarray(0, 6))).toBe('000100000000');
  });

  test('a sniffed 0x0400 is refused the second time', async () => {
    const sidecar = await Sidecar.create();
    const { login } = await sidecar.logIn('osd.0');
    const bytes = requestBytes(GET_ROTATING_KEY, authorizerOf(login.auth, login.globalId, rng));
    expect((await sidecar.post('request', bytes)).payload.length).toBeGreaterThan(100);
    expect(toHex((await sidecar.post('request', bytes)).payload)).toBe('0004f3ffffff');
  });

  test('bodies: 4 KiB of hello, 64 KiB of request, octets only', async () => {
    const sidecar = await Sidecar.create();
    const code = async (path: string, payload: Uint8Array, headers = {}) => {
      const answer = await sidecar.post(path, payload, headers);
      return [answer.status, JSON.parse(new TextDecoder().decode(answer.payload)).code];
    };
    expect(await code('hello', new Uint8Array(4097))).toEqual([413, 'body.too_large']);
    expect(await code('request', new Uint8Array(65_537))).toEqual([413, 'body.too_large']);
    expect(await code('hello', new Uint8Array(4096))).toEqual([400, 'field.value']);
    const json = { 'content-type': 'application/json' };
    expect(await code('request', helloBytes('client.a'), json)).toEqual([415, 'body.content_type']);
    const large = await sidecar.post('request', new Uint8Array(65_536).fill(1));
    expect([large.status, toHex(large.payload)]).toEqual([200, '0101eaffffff']);
    const longest = await sidecar.post('hello', helloBytes(`client.${'x'.repeat(4096 - 17)}`));
    expect([longest.status, longest.payload.length]).toEqual([200, 9]);
  });

  test('where nothing is issued the routes are not there', async () => {
    const kit = await Kit.create();
    for (const path of ['/v1/cephx/hello', '/v1/cephx/request']) {
      const answer = await kit.raw(path, { method: 'POST', headers: { host: HOST } });
      expect([answer.status, answer.body.code]).toEqual([404, 'route.unknown']);
    }
  });
});
