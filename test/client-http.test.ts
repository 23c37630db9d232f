/** The client over HTTP against our own issuing side: the whole circle, renewal, and trouble. */

import { describe, expect, it } from 'vitest';
import { encodeBase64 } from '../src/cephx/cryptokey.ts';
import { CephxHttpClient, type Fetch, SidecarClient } from '../src/cephx/httpclient.ts';
import type { ServiceAuthorizer } from '../src/cephx/ticketmanager.ts';
import { RequestError } from '../src/errors.ts';
import { entity, freshKey } from './auth-issue-kit.ts';
import { AUTH, HOUR_NS, MGR, MON, makeHandler, OSD, rng, Sidecar } from './client-kit.ts';
import { bytesOf, newConnection } from './http-kit.ts';

const REFUSED = { ok: false, reason: 'request.refused', status: -13 };
const OK = { ok: true, value: undefined };

/** Both steps with a node; the answer to the second. */
async function present(sidecar: Sidecar, authorizer: ServiceAuthorizer, secure = false) {
  const node = sidecar.node();
  const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection(), secure };
  const first = encodeBase64(authorizer.first());
  const asked = await node.verify({ ...base, authorizer: first });
  expect(asked.reason.code).toBe('authorizer.challenge_required');
  const answer = authorizer.answer(bytesOf(asked.challenge as string));
  if (!answer.ok) throw new Error(answer.reason);
  const second = encodeBase64(answer.value);
  const { challenge_state } = asked;
  return node.verify({ ...base, authorizer: second, challenge_state });
}

async function osdAuthorizer(client: CephxHttpClient): Promise<ServiceAuthorizer> {
  const found = await client.authorizer(OSD);
  if (!found.ok) throw new Error(found.reason);
  return found.value;
}

for (const type of ['aes', 'aes256k'] as const) {
  describe(`${type} key`, () => {
    it.each([false, true])('goes the whole circle (secure: %s)', async (secure) => {
      const sidecar = await Sidecar.create(type);
      const client = sidecar.client();
      expect(await client.login(MON | OSD | MGR)).toEqual(OK);
      expect(client.handler.state).toBe('READY');
      const ids = client.handler.tickets.list().map((each) => each.serviceId);
      expect(ids).toEqual([MON, OSD, MGR, AUTH]);
      const authorizer = await osdAuthorizer(client);
      const verdict = await present(sidecar, authorizer, secure);
      expect(verdict).toMatchObject({
        decision: true,
        entity: 'client.john',
        freshness: 'challenge',
      });
      expect(authorizer.isProved).toBe(false);
      const reply = bytesOf(verdict.reply as string);
      const secret = authorizer.verifyReply(reply, { secure });
      expect(authorizer.isProved).toBe(true);
      const expected = (verdict.connection_secret as string | undefined) ?? '';
      expect(secret.ok && encodeBase64(secret.value)).toBe(expected);
      expect(secret.ok && secret.value.length).toBe(secure ? 64 : 0);

      const node = sidecar.node();
      const session = verdict.session as string;
      const op = { pool: 'liverpool', namespace: '', object: 'o1', read: true };
      const request = { service: 'osd', session, peer: '192.0.2.7' };
      expect(await node.check({ ...request, op })).toMatchObject({ decision: true });
      const other = await node.check({ ...request, op: { ...op, pool: 'leeds' } });
      expect(other).toMatchObject({ decision: false, reason: { code: 'caps.no_matching_grant' } });
      await node.release(session);
      const released = await node.check({ ...request, op });
      expect(released).toMatchObject({ decision: false, reason: { code: 'session.unknown' } });
    });

    it('is refused alike with a wrong key, an unknown name and no mon caps', async () => {
      const sidecar = await Sidecar.create(type);
      expect(await sidecar.client('client.john', freshKey(type, rng)).login()).toEqual(REFUSED);
      expect(await sidecar.client('client.nobody').login()).toEqual(REFUSED);
      const nocaps = sidecar.client('client.nocaps', sidecar.keys.nocaps);
      expect(await nocaps.login()).toEqual(REFUSED);
      expect(nocaps.handler.state).toBe('INIT');
    });

    it('gives a daemon its rotating secrets, and a client none', async () => {
      const sidecar = await Sidecar.create(type);
      const daemon = sidecar.client('osd.0', sidecar.keys.osd);
      expect(await daemon.rotatingSecrets()).toEqual({ ok: false, reason: 'ticket.none' });
      await daemon.login();
      const rotating = await daemon.rotatingSecrets();
      const held = sidecar.rig.keyServer.held('osd').map(({ secretId }) => secretId);
      expect(rotating.ok && [...rotating.value.secrets.keys()]).toEqual(held);
      const client = sidecar.client();
      await client.login();
      expect(await client.rotatingSecrets()).toEqual(REFUSED);
    });
  });
}

describe('renewal', () => {
  it('asks for a ticket again at three quarters of its validity, not before', async () => {
    const sidecar = await Sidecar.create();
    const { rig } = sidecar;
    const client = sidecar.client();
    await client.login(OSD);
    const start = rig.nowNs;
    const held = () => client.handler.tickets.held(OSD)!.sessionKey.toBase64();
    const first = held();
    rig.nowNs = start + (HOUR_NS * 3n) / 4n - 1n;
    sidecar.asked.length = 0;
    expect(await client.ensure(OSD)).toEqual(OK);
    expect([held() === first, sidecar.asked]).toEqual([true, []]);
    rig.nowNs += 1n;
    expect(await client.ensure(OSD)).toEqual(OK);
    expect([held() === first, sidecar.asked]).toEqual([false, ['/v1/cephx/request']]);
    expect((await present(sidecar, await osdAuthorizer(client))).decision).toBe(true);
  });

  it('claims its global_id with the old ticket when the AUTH ticket is due', async () => {
    const sidecar = await Sidecar.create();
    const { rig } = sidecar;
    const client = sidecar.client();
    await client.login(OSD);
    const { globalId } = client.handler.tickets;
    const authKey = client.handler.tickets.held(AUTH)!.sessionKey.toBase64();
    // Nine days, in steps in which every ticket becomes due.
    for (let hours = 0; hours < 9 * 24; hours += 6) {
      rig.nowNs += 6n * HOUR_NS;
      const verdict = await present(sidecar, await osdAuthorizer(client));
      expect(verdict).toMatchObject({ decision: true, global_id: globalId.toString() });
    }
    expect(client.handler.tickets.globalId).toBe(globalId);
    expect(client.handler.tickets.held(AUTH)!.sessionKey.toBase64()).not.toBe(authKey);
  });

  it('lets a server be away in the last quarter, and says so at the end', async () => {
    const sidecar = await Sidecar.create();
    const { rig } = sidecar;
    const client = sidecar.client();
    await client.login(OSD);
    sidecar.between = () => Promise.reject(new TypeError('fetch failed'));
    rig.nowNs += HOUR_NS - 1n;
    expect((await client.authorizer(OSD)).ok).toBe(true);
    rig.nowNs += 1n;
    await expect(client.authorizer(OSD)).rejects.toThrow(RequestError);
  });

  it('logs in again after a rejected authorizer, and once for callers at the same time', async () => {
    const sidecar = await Sidecar.create();
    const client = sidecar.client();
    const all = await Promise.all([1, 2, 3].map(() => client.authorizer(OSD)));
    expect(all.every((each) => each.ok)).toBe(true);
    expect(sidecar.asked).toEqual(['/v1/cephx/hello', '/v1/cephx/request']);
    const { globalId } = client.handler.tickets;
    client.handler.tickets.invalidate(OSD);
    expect(client.handler.authorizer(OSD)).toEqual({ ok: false, reason: 'ticket.none' });
    expect((await client.authorizer(OSD)).ok).toBe(true);
    expect(sidecar.asked.length).toBe(4);
    expect(client.handler.tickets.globalId).toBe(globalId);
  });
});

describe('a claim that is refused for good', () => {
  it('ends in a new global_id when the one we were given was not ours', async () => {
    const sidecar = await Sidecar.create();
    sidecar.between = async (_, response) => {
      const headers = new Headers(response.headers);
      if (headers.has('cephgate-global-id')) headers.set('cephgate-global-id', '9999');
      return new Response(response.body, { status: response.status, headers });
    };
    const client = sidecar.client();
    expect(await client.login(OSD)).toEqual(OK);
    sidecar.between = async (_, response) => response;
    // The AUTH authorizer with that id is rejected, and then the claim.
    expect(await client.requestTickets(MGR)).toEqual(REFUSED);
    expect(client.handler.state).toBe('INIT');
    const found = await client.authorizer(MGR);
    expect(found.ok).toBe(true);
    expect(client.handler.tickets.globalId).not.toBe(9999n);
    // What belonged to the other id went with it.
    expect(client.handler.tickets.list().map((each) => each.serviceId)).toEqual([MGR, AUTH]);
    expect((await present(sidecar, await osdAuthorizer(client))).decision).toBe(true);
  });

  it('leaves everything as it was when a login without the claim is refused too', async () => {
    const sidecar = await Sidecar.create();
    const client = sidecar.client();
    await client.login(OSD | MGR);
    const { globalId } = client.handler.tickets;
    const { rig } = sidecar;
    await rig.putEntity('client.john', entity(freshKey('aes256k', rng), { mon: 'allow r' }));
    client.handler.tickets.invalidate(OSD);
    expect(await client.authorizer(OSD)).toEqual(REFUSED);
    expect(client.handler.tickets.globalId).toBe(globalId);
    expect(client.handler.authorizer(MGR).ok).toBe(true);
  });
});

describe('trouble', () => {
  const answers: readonly (readonly [string, () => Response | Promise<Response>])[] = [
    ['no answer', () => Promise.reject(new TypeError('fetch failed'))],
    ['500: internal: x', () => Response.json({ code: 'internal', detail: 'x' }, { status: 500 })],
    ['status 404', () => new Response('<html>', { status: 404 })],
    ['longer than 262144 bytes', () => new Response(new Uint8Array(300_000))],
    ['no cephgate-exchange', () => new Response(new Uint8Array(9))],
  ];
  it.each(answers)('is a RequestError: %s', async (words, answer) => {
    const fetch: Fetch = async () => answer();
    const handler = makeHandler('client.john', freshKey('aes256k', rng), () => 0n);
    const client = new CephxHttpClient(handler, { url: 'http://127.0.0.1:1', fetch });
    const login = client.login();
    await expect(login).rejects.toThrow(RequestError);
    await expect(login).rejects.toThrow(words);
  });

  it('takes nothing for a yes that is no decision', async () => {
    for (const text of ['', 'yes', '[]', '{"decision":"true"}', '{"decision":true}']) {
      const client = new SidecarClient({
        url: 'http://localhost',
        fetch: async () => new Response(text),
      });
      await expect(client.verify({})).rejects.toThrow(RequestError);
      await expect(client.check({})).rejects.toThrow('holds no decision');
    }
  });

  it.each(['', '0', '18446744073709551616', '-1', '4097x'])(
    'refuses the global_id "%s"',
    async (text) => {
      const sidecar = await Sidecar.create();
      sidecar.between = async (_, response) => {
        const headers = new Headers(response.headers);
        headers.set('cephgate-global-id', text);
        return new Response(response.body, { status: response.status, headers });
      };
      const login = await sidecar.client().login();
      expect(login).toEqual({ ok: false, reason: 'reply.global_id' });
    },
  );

  it('does not take another global_id for its own', async () => {
    const sidecar = await Sidecar.create();
    const client = sidecar.client();
    await client.login();
    sidecar.between = async (_, response) => {
      const headers = new Headers(response.headers);
      if (headers.has('cephgate-global-id')) headers.set('cephgate-global-id', '9999');
      return new Response(response.body, { status: response.status, headers });
    };
    expect(await client.login()).toEqual({ ok: false, reason: 'reply.global_id' });
  });
});
