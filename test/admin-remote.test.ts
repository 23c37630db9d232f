/** Administration over TCP: cephx as the proof, signed requests, and mon caps at that moment. */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { beforeEach, describe, expect, it } from 'vitest';
import { RateLimiter } from '../src/http/ratelimit.ts';
import { replyOf } from './admin-kit.ts';
import { json, RemoteKit } from './admin-remote-kit.ts';

const ENTITIES = {
  'client.admin': { mon: 'allow *' },
  'client.reader': { mon: 'allow r' },
  'client.adder': { mon: 'allow command "auth add", allow command "auth caps"' },
  'client.near': { mon: 'allow * network 192.0.2.0/24' },
  'client.john': { mon: 'allow r', osd: 'allow rw pool=liverpool' },
};
const SECOND = 1_000_000_000n;
const COMMAND = '/v1/admin/command';

let net: RemoteKit;
beforeEach(async () => {
  net = await RemoteKit.create(ENTITIES, { tls: true });
});

describe('a session', () => {
  it('takes a challenge, and both sides prove themselves', async () => {
    const client = net.client('client.admin');
    expect(await client.logIn()).toEqual({ ok: true });
    const [first, second] = net.sent.map(({ body }) => JSON.parse(new TextDecoder().decode(body)));
    expect(Object.keys(first)).toEqual(['authorizer']);
    expect(Object.keys(second)).toEqual(['authorizer', 'challenge_state']);
    const listed = await client.call('GET', '/v1/admin/users/client.john');
    expect([listed.status, json(listed).entity]).toEqual([200, 'client.john']);
  });

  it('is not opened by an authorizer for another service, or one that was recorded', async () => {
    const john = net.kit.client('client.john');
    await net.kit.accept(john);
    const other = john.handler.authorizer(4);
    if (!other.ok) throw new Error(other.reason);
    const wrong = await open({ authorizer: b64(other.value.first()) });
    expect(wrong.body.reason.code).toBe('authorizer.service');
    await net.loggedIn('client.admin');
    const recorded = JSON.parse(new TextDecoder().decode(net.sent[1]!.body));
    const again = await open(recorded);
    expect(again.body).toMatchObject({ decision: false });
    expect(again.body.reason.code).toBe('authorizer.challenge_expired');
    for (const name of ['reply', 'session', 'challenge']) {
      expect(again.body).not.toHaveProperty(name);
    }
    const noState = await open({ authorizer: recorded.authorizer });
    expect(noState.body.reason.code).toBe('authorizer.challenge_required');
  });

  it('a server without the key is found out', async () => {
    const client = net.client('client.admin');
    let opened = 0;
    net.wire = async (sent, deliver) => {
      const reply = await replyOf(await deliver(sent));
      const { reply: proof } = reply.body;
      if (proof === undefined) return Response.json(reply.body);
      opened += 1;
      const bytes = Buffer.from(proof, 'base64');
      bytes[bytes.length - 1]! ^= 1;
      return Response.json({ ...reply.body, reply: bytes.toString('base64') });
    };
    const login = await client.logIn();
    expect([login.ok, opened]).toEqual([false, 1]);
  });

  it('ends after 15 idle minutes, and with its ticket', async () => {
    const client = await net.loggedIn('client.admin');
    const get = () =>
      client.call('GET', '/v1/admin/revocations').then(
        ({ status }) => status,
        (error: { code: string }) => error.code,
      );
    // An hour: what is used every 14 minutes ends with the ticket.
    for (let i = 0; i < 4; i++) {
      net.kit.rig.nowNs += 840n * SECOND;
      expect(await get()).toBe(200);
    }
    net.kit.rig.nowNs += 239n * SECOND;
    expect(await get()).toBe(200);
    net.kit.rig.nowNs += 1n * SECOND;
    expect(await get()).toBe('response.unproven');
    const idle = await net.loggedIn('client.near');
    net.kit.rig.nowNs += 900n * SECOND;
    await expect(idle.call('GET', '/v1/admin/revocations')).rejects.toThrow('outcome unknown');
  });

  it('is limited by address, before any proof', async () => {
    const rates = new RateLimiter({ perSecond: 1, burst: 3 });
    net = await RemoteKit.create(ENTITIES, { tls: true, rates });
    await net.loggedIn('client.admin');
    const tries = [];
    for (let i = 0; i < 3; i++) tries.push((await open({ authorizer: 'AAAA' })).status);
    expect(tries).toEqual([200, 429, 429]);
    net.from = '192.0.2.99';
    expect((await open({ authorizer: 'AAAA' })).status).toBe(200);
  });

  function open(body: unknown) {
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    const headers = new Headers({ 'content-type': 'application/json' });
    const url = `${net.origin}/v1/admin/session`;
    return net.deliver({ url, method: 'POST', headers, body: bytes }).then(replyOf);
  }
});

describe('mon caps decide', () => {
  it.each([
    ['client.admin', 200, 201, 200, 200],
    ['client.reader', 403, 403, 403, 403],
    ['client.adder', 403, 201, 403, 403],
  ])('%s', async (name, read, put, deny, rotate) => {
    const client = await net.loggedIn(name);
    const status = async (method: string, path: string, body?: unknown) =>
      (await client.call(method, `/v1/admin/${path}`, body)).status;
    expect(await status('GET', 'users/client.john')).toBe(read);
    expect(await status('GET', 'users/client.john/key')).toBe(read);
    expect(await status('PUT', 'users/client.new', { caps: { mon: 'allow r' } })).toBe(put);
    expect(await status('POST', 'revocations', { deny: { entity: 'client.new' } })).toBe(deny);
    expect(await status('GET', 'revocations')).toBe(read);
    expect(await status('GET', 'watch?wait=0')).toBe(read);
    expect(await status('GET', 'health')).toBe(read);
    expect(await status('GET', 'keys/client.john')).toBe(read);
    expect(await status('POST', 'keys/client.john/rotate')).toBe(read);
    expect(await status('POST', 'secrets/rotate')).toBe(rotate);
    expect(await status('GET', 'secrets')).toBe(read);
    expect(await status('DELETE', 'users/client.john')).toBe(read === 200 ? 204 : 403);
  });

  it('a command is refused in the words of a monitor', async () => {
    const client = await net.loggedIn('client.reader');
    const body = { prefix: 'auth rm', entity: 'client.john' };
    expect(json(await client.call('POST', COMMAND, body))).toEqual({
      retcode: -13,
      status: 'access denied',
      output: '',
    });
  });

  it('a demoted administrator is refused with the next request', async () => {
    const client = await net.loggedIn('client.admin');
    expect((await client.call('GET', '/v1/admin/revocations')).status).toBe(200);
    const demote = { prefix: 'auth caps', entity: 'client.admin', caps: ['mon', 'allow r'] };
    const insists = { yes_i_really_mean_it: true };
    const done = await net.kit.call('POST', '/command', { ...demote, ...insists });
    expect(done.body.retcode).toBe(0);
    const refused = await client.call('GET', '/v1/admin/revocations');
    expect([refused.status, json(refused).code]).toEqual([403, 'caps.refused']);
    await net.kit.call('POST', '/command', {
      prefix: 'auth rm',
      entity: 'client.admin',
      ...insists,
    });
    expect((await client.call('GET', '/v1/admin/revocations')).status).toBe(403);
  });

  it('a revoked administrator has no session any more', async () => {
    const client = await net.loggedIn('client.admin');
    await net.kit.call('POST', '/revocations', { deny: { entity: 'client.admin' } });
    await expect(client.call('GET', '/v1/admin/health')).rejects.toThrow('outcome unknown');
    expect(await client.logIn()).toMatchObject({ ok: false });
  });

  it('caps that are limited to a network see the address of the caller', async () => {
    const client = await net.loggedIn('client.near');
    net.from = '::ffff:192.0.2.7';
    expect((await client.call('GET', '/v1/admin/revocations')).status).toBe(200);
    net.from = '198.51.100.7';
    expect((await client.call('GET', '/v1/admin/revocations')).status).toBe(403);
  });
});

describe('key bytes', () => {
  it('are answered over TLS and not in clear', async () => {
    const secure = await net.loggedIn('client.admin');
    const command = { prefix: 'auth get', entity: 'client.john' };
    expect(json(await secure.call('POST', COMMAND, command)).output).toContain('key = ');
    net = await RemoteKit.create(ENTITIES, { tls: false });
    const clear = await net.loggedIn('client.admin');
    for (const prefix of [
      'auth get',
      'auth ls',
      'auth export',
      'auth get-or-create',
      'auth rotate',
    ]) {
      const refused = await clear.call('POST', COMMAND, { ...command, prefix });
      expect([refused.status, json(refused).code]).toEqual([403, 'key.in_clear']);
    }
    expect((await clear.call('GET', '/v1/admin/users/client.john/key')).status).toBe(403);
    const add = { prefix: 'auth add', entity: 'client.new', caps: ['mon', 'allow r'] };
    expect(json(await clear.call('POST', COMMAND, add)).retcode).toBe(0);
    const text = JSON.stringify(json(await clear.call('GET', '/v1/admin/users/client.new')));
    expect(text).not.toMatch(/"key"/);
  });
});

it('derives keys and signs as written down, by hand', async () => {
  const client = await net.loggedIn('client.admin');
  let answered: Response | undefined;
  net.wire = async (sent, deliver) => {
    answered = await deliver(sent);
    return answered.clone();
  };
  await client.call('POST', `${COMMAND}?a=b`, { prefix: 'auth ls' });
  const { headers, body, url } = net.sent.at(-1)!;
  const handle = /;keyid="([0-9a-f]{32})"/.exec(headers.get('signature-input')!)![1]!;
  const created = Number(net.kit.rig.nowNs / SECOND);
  const list =
    '("@method" "@authority" "@path" "@query" "content-type" "content-digest" "cephgate-seq")';
  const tail = `;created=${created};keyid="${handle}";alg="hmac-sha256";tag="cephgate-admin-v1"`;
  expect(headers.get('signature-input')).toBe(`sig1=${list}${tail}`);
  const digest = (bytes: Uint8Array) =>
    `sha-256=:${Buffer.from(sha256(bytes)).toString('base64')}:`;
  const base = [
    '"@method": POST',
    `"@authority": ${new URL(url).host}`,
    '"@path": /v1/admin/command',
    '"@query": ?a=b',
    '"content-type": application/json',
    `"content-digest": ${digest(body!)}`,
    '"cephgate-seq": 1',
    `"@signature-params": ${list}${tail}`,
  ].join('\n');
  const keyOf = (label: string) =>
    hmac(sha256, net.ticketSecret, new TextEncoder().encode(label + handle));
  const sign = (key: Uint8Array, text: string) =>
    Buffer.from(hmac(sha256, key, new TextEncoder().encode(text))).toString('base64');
  const signature = sign(keyOf('cephgate admin v1 req'), base);
  expect(headers.get('signature')).toBe(`sig1=:${signature}:`);
  const answer = new Uint8Array(await answered!.arrayBuffer());
  const covered = '("@status" "content-type" "content-digest" "signature";req;key="sig1")';
  const answerBase = [
    '"@status": 200',
    '"content-type": application/json',
    `"content-digest": ${digest(answer)}`,
    `"signature";req;key="sig1": :${signature}:`,
    `"@signature-params": ${covered}${tail}`,
  ].join('\n');
  expect(answered!.headers.get('signature-input')).toBe(`sig1=${covered}${tail}`);
  const proof = sign(keyOf('cephgate admin v1 resp'), answerBase);
  expect(answered!.headers.get('signature')).toBe(`sig1=:${proof}:`);
});

function b64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
