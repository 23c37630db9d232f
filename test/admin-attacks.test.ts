/**
 * Attacks on administration over TCP: what was signed is altered, left out, sent again, sent back,
 * or signed by somebody else. Nothing of it is carried out, and no client believes it was answered.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AdminClient } from '../src/http/adminclient.ts';
import { SequenceWindow } from '../src/http/adminsessions.ts';
import { contentDigest, keyLabel, signRequest, signResponse } from '../src/http/signature.ts';
import { type Reply, replyOf } from './admin-kit.ts';
import { json, RemoteKit, type Sent } from './admin-remote-kit.ts';
import { b64, bytesOf, newConnection } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';

const ENTITIES = {
  'client.admin': { mon: 'allow *' },
  'client.john': { mon: 'allow r', osd: 'allow rw pool=liverpool' },
  'client.jane': { mon: 'allow r' },
};
const RM_JOHN = { prefix: 'auth rm', entity: 'client.john' };
const COMMAND = '/v1/admin/command';

let net: RemoteKit;
let client: AdminClient;
beforeEach(async () => {
  net = await RemoteKit.create(ENTITIES, { tls: true });
  client = await net.loggedIn('client.admin');
});

describe('a request that was', () => {
  const body = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const without = (name: string) => (sent: Sent) => {
    sent.headers.delete(name);
    return sent;
  };
  const header = (name: string, change: (text: string) => string) => (sent: Sent) => {
    sent.headers.set(name, change(sent.headers.get(name)!));
    return sent;
  };
  const input = (from: string | RegExp, to: string) =>
    header('signature-input', (text) => text.replace(from, to));

  it.each<[string, (sent: Sent) => Sent]>([
    ['stripped of its signature', without('signature')],
    ['stripped of its input', without('signature-input')],
    ['stripped of its digest', without('content-digest')],
    ['stripped of its number', without('cephgate-seq')],
    ['stripped of its type', without('content-type')],
    [
      'stripped of all',
      (sent) => ({ ...sent, headers: new Headers({ 'content-type': 'application/json' }) }),
    ],
    [
      'given another body',
      (sent) => ({ ...sent, body: body({ ...RM_JOHN, entity: 'client.jane' }) }),
    ],
    ['given no body', (sent) => ({ ...sent, body: undefined })],
    [
      'given another body and its digest',
      (sent) => {
        const other = body({ ...RM_JOHN, entity: 'client.jane' });
        sent.headers.set('content-digest', contentDigest(other));
        return { ...sent, body: other };
      },
    ],
    [
      'sent to another path',
      (sent) => ({ ...sent, url: sent.url.replace('command', 'secrets/wipe') }),
    ],
    ['given a query', (sent) => ({ ...sent, url: `${sent.url}?yes_i_really_mean_it=true` })],
    ['sent by another method', (sent) => ({ ...sent, method: 'PUT' })],
    [
      'sent to another host',
      (sent) => {
        sent.headers.set('host', 'admin.other:6481');
        return sent;
      },
    ],
    ['given another number', header('cephgate-seq', () => '7')],
    ['given another type', header('content-type', (text) => `${text}; charset=utf-8`)],
    ['made later', input(/created=(\d+)/, 'created=99999999999')],
    ['made at another second', input(/created=(\d+)\d/, 'created=$17')],
    ['given another handle', input(/keyid="../, 'keyid="00')],
    ['given another tag', input('cephgate-admin-v1', 'cephgate-admin-v2')],
    ['given another algorithm', input('hmac-sha256', 'hmac-sha512')],
    ['reordered in what it covers', input('"@method" "@authority"', '"@authority" "@method"')],
    ['made to cover less', input(' "content-digest"', '')],
    ['made to cover nothing', input(/\([^)]*\)/, '()')],
    ['signed twice', header('signature', (text) => `${text}, ${text.replace('sig1', 'sig2')}`)],
    ['given a parameter more', header('signature-input', (text) => `${text};nonce="x"`)],
    ['given another label', header('signature', (text) => text.replace('sig1', 'sig2'))],
    [
      'given another signature',
      header('signature', (text) => text.replace(/:(.)/, (_, c) => `:${c === 'A' ? 'B' : 'A'}`)),
    ],
  ])('%s is refused, and not carried out', async (_, change) => {
    let refusal: Reply | undefined;
    net.wire = async (sent, deliver) => {
      const answer = await deliver(change({ ...sent, headers: new Headers(sent.headers) }));
      refusal = await replyOf(answer.clone());
      return answer;
    };
    await expect(client.call('POST', COMMAND, RM_JOHN)).rejects.toMatchObject({
      code: 'response.unproven',
    });
    expect([refusal!.status, refusal!.body.code]).toEqual([401, 'signature.invalid']);
    expect(refusal!.headers.has('signature')).toBe(false);
    net.wire = (sent, deliver) => deliver(sent);
    expect((await client.call('GET', '/v1/admin/users/client.john')).status).toBe(200);
    expect((await client.call('GET', '/v1/admin/users/client.jane')).status).toBe(200);
  });

  it('made 301 seconds ago is refused, and one of 300 is not', async () => {
    const held: Sent[] = [];
    net.wire = async (sent) => {
      held.push(sent);
      return new Response();
    };
    for (let i = 0; i < 2; i++) {
      await client.call('GET', '/v1/admin/revocations').catch(() => undefined);
    }
    net.kit.rig.nowNs += 300_000_000_000n;
    expect((await net.deliver(held[0]!)).status).toBe(200);
    net.kit.rig.nowNs += 1_000_000_000n;
    expect((await net.deliver(held[1]!)).status).toBe(401);
  });

  it('replayed is carried out once, and its copy answered without a signature', async () => {
    const wipe = '/v1/admin/secrets/wipe';
    const first = await client.call('POST', wipe);
    const copy = await replyOf(await net.deliver(net.sent.at(-1)!));
    expect([copy.status, copy.headers.has('signature')]).toEqual([401, false]);
    const after = await client.call('GET', '/v1/admin/secrets');
    expect(json(after).snapshot).toBe(json(first).snapshot);
  });

  it('sent twice at once is carried out once', async () => {
    const statuses: number[] = [];
    net.wire = async (sent, deliver) => {
      const both = await Promise.all([deliver(sent), deliver(sent), deliver(sent)]);
      statuses.push(...both.map(({ status }) => status));
      return both[0]!;
    };
    await client.call('POST', '/v1/admin/secrets/rotate', { services: ['osd'] });
    expect(statuses.sort()).toEqual([200, 401, 401]);
  });

  it('held back is refused when 64 came after it', async () => {
    const held: Sent[] = [];
    net.wire = async (sent) => {
      held.push(sent);
      return new Response();
    };
    for (let i = 0; i < 66; i++) {
      await client.call('GET', '/v1/admin/revocations').catch(() => undefined);
    }
    const statusOf = async (i: number) => (await net.deliver(held[i]!)).status;
    expect(await statusOf(65)).toBe(200);
    expect(await statusOf(1)).toBe(401);
    expect(await statusOf(2)).toBe(200);
    expect(await statusOf(2)).toBe(401);
    expect(await statusOf(40)).toBe(200);
  });

  it('signed in another session is refused', async () => {
    const other = await net.loggedIn('client.admin');
    await other.call('GET', '/v1/admin/revocations');
    const [theirs] = net.sent.slice(-1);
    await client.call('GET', '/v1/admin/revocations');
    const mine = net.sent.at(-1)!;
    const [, handle] = /keyid="(\w+)"/.exec(mine.headers.get('signature-input')!)!;
    const swapped = { ...theirs!, headers: new Headers(theirs!.headers) };
    const text = swapped.headers
      .get('signature-input')!
      .replace(/keyid="\w+"/, `keyid="${handle}"`);
    swapped.headers.set('signature-input', text);
    swapped.headers.set('cephgate-seq', '9');
    expect((await net.deliver(swapped)).status).toBe(401);
  });
});

describe('an answer that was', () => {
  const resend = (answer: Response, change: (headers: Headers) => void, body?: string) =>
    answer.text().then((text) => {
      const headers = new Headers(answer.headers);
      change(headers);
      return new Response(body ?? text, { status: answer.status, headers });
    });

  it.each<[string, (answer: Response) => Promise<Response>]>([
    ['stripped of its signature', (answer) => resend(answer, (each) => each.delete('signature'))],
    ['stripped of its digest', (answer) => resend(answer, (each) => each.delete('content-digest'))],
    [
      'given another type',
      (answer) => resend(answer, (each) => each.set('content-type', 'text/html')),
    ],
    ['given another body', (answer) => resend(answer, () => undefined, '{"retcode":0}')],
    [
      'given another body and its digest',
      (answer) => {
        const forged = '{"retcode":0}';
        const digest = contentDigest(new TextEncoder().encode(forged));
        return resend(answer, (each) => each.set('content-digest', digest), forged);
      },
    ],
    [
      'given another status',
      async (answer) => new Response(await answer.text(), { status: 201, headers: answer.headers }),
    ],
    ['replaced by an unsigned one', async () => Response.json({ retcode: 0 })],
    ['replaced by an unsigned error', async () => Response.json({ code: 'x' }, { status: 500 })],
  ])('%s leaves the outcome unknown', async (_, change) => {
    net.wire = async (sent, deliver) => change(await deliver(sent));
    await expect(client.call('POST', COMMAND, RM_JOHN)).rejects.toMatchObject({
      code: 'response.unproven',
    });
  });

  it('swapped with that of another request is not believed', async () => {
    const kept: Response[] = [];
    net.wire = async (sent, deliver) => {
      const answer = await deliver(sent);
      kept.push(answer.clone());
      return kept.length === 1 ? answer : kept[0]!.clone();
    };
    await client.call('GET', '/v1/admin/users/client.jane');
    await expect(client.call('GET', '/v1/admin/users/client.jane')).rejects.toThrow('unknown');
  });

  it('made of the request itself, reflected, is not believed', async () => {
    net.wire = async (sent) => new Response(null, { headers: sent.headers });
    await expect(client.call('GET', '/v1/admin/revocations')).rejects.toThrow('outcome unknown');
  });

  it('lost is not made up for by the refusal of a copy', async () => {
    // The request is carried out, its answer kept back, and a copy sent that has to be refused.
    net.wire = async (sent, deliver) => {
      await deliver(sent);
      return deliver(sent);
    };
    await expect(client.call('POST', COMMAND, RM_JOHN)).rejects.toThrow('outcome unknown');
    net.wire = (sent, deliver) => deliver(sent);
    expect((await client.call('GET', '/v1/admin/users/client.john')).status).toBe(404);
  });

  it('an error is signed as well', async () => {
    for (const [method, path, status] of [
      ['GET', '/v1/admin/users/client.nobody', 404],
      ['GET', '/v1/admin/none', 404],
      ['DELETE', COMMAND, 405],
      ['DELETE', '/v1/admin/users/client.jane', 204],
    ] as const) {
      expect((await client.call(method, path)).status).toBe(status);
    }
    const wrong = await client.call('POST', COMMAND, { prefix: 7 });
    expect([wrong.status, json(wrong).code]).toEqual([400, 'field.type']);
  });
});

describe('a signature that was had elsewhere', () => {
  /** Removes client.john by a request that is signed with `key`. */
  async function forged(key: Uint8Array, handle: string): Promise<Reply> {
    const body = new TextEncoder().encode(JSON.stringify(RM_JOHN));
    const headers = new Headers({
      'content-type': 'application/json',
      'content-digest': contentDigest(body),
      'cephgate-seq': '1000',
    });
    const url = new URL(COMMAND, net.origin);
    const parts = { authority: url.host, path: url.pathname, query: '?' };
    const created = Number(net.kit.rig.nowNs / 1_000_000_000n);
    signRequest(key, { method: 'POST', headers, ...parts }, { keyid: handle, created });
    return replyOf(await net.deliver({ url: url.href, method: 'POST', headers, body }));
  }

  async function handleOf(): Promise<string> {
    await client.call('GET', '/v1/admin/revocations');
    const { headers } = net.sent.at(-1)!;
    return /keyid="(\w+)"/.exec(headers.get('signature-input')!)![1]!;
  }

  it('counts with the right key: the forgery below is well made', async () => {
    const handle = await handleOf();
    const key = hmac(sha256, net.ticketSecret, keyLabel('req', handle));
    expect(await forged(key, handle)).toMatchObject({ status: 200, body: { retcode: 0 } });
  });

  it('the right key under another list of components is no signature of the profile', async () => {
    const handle = await handleOf();
    const key = hmac(sha256, net.ticketSecret, keyLabel('req', handle));
    net.wire = async (sent, deliver) => {
      const { host, pathname } = new URL(sent.url);
      const created = Number(net.kit.rig.nowNs / 1_000_000_000n);
      const who = `;created=${created};keyid="${handle}"`;
      const tail = `${who};alg="hmac-sha256";tag="cephgate-admin-v1"`;
      const header = (name: string) => `"${name}": ${sent.headers.get(name)}`;
      const params = `("@authority" "@path" "cephgate-seq")${tail}`;
      const lines = [`"@authority": ${host}`, `"@path": ${pathname}`, header('cephgate-seq')];
      const base = [...lines, `"@signature-params": ${params}`].join('\n');
      const signature = b64(hmac(sha256, key, new TextEncoder().encode(base)));
      sent.headers.set('signature-input', `sig1=${params}`);
      sent.headers.set('signature', `sig1=:${signature}:`);
      return deliver(sent);
    };
    await expect(client.call('GET', '/v1/admin/revocations')).rejects.toThrow('the answer 401');
    // The list of the profile in the input, and the same text signed, is what is accepted.
    net.wire = (sent, deliver) => deliver(sent);
    expect((await client.call('GET', '/v1/admin/revocations')).status).toBe(200);
  });

  it('/v1/sign signs with no key of an administrator', async () => {
    const handle = await handleOf();
    const admin = net.tickets!;
    // Whoever may sign for storage daemons has the sessions of administrators there too, as osd.
    const accepted = await net.kit.accept(admin);
    const sign = (session: string, bytes: Uint8Array) =>
      net.kit.post('/v1/sign', { session, scheme: 'msgr2-auth', block: { bytes: b64(bytes) } });
    const signed = await sign(accepted.session, keyLabel('req', handle));
    expect(signed.body.decision).toBe(true);
    const refused = await forged(bytesOf(signed.body.signature), handle);
    expect([refused.status, refused.body.code]).toEqual([401, 'signature.invalid']);
    // The handle itself is nothing there, and the service `mon` is refused.
    const byHandle = await sign(handle, keyLabel('req', handle));
    expect(byHandle.body).toMatchObject({ decision: false, reason: { code: 'session.unknown' } });
    const found = admin.handler.authorizer(1);
    if (!found.ok) throw new Error(found.reason);
    const asked = { service: 'mon', authorizer: b64(found.value.first()) };
    const answer = await net.kit.post('/v1/verify', { ...asked, connection: newConnection() });
    expect([answer.status, answer.body.code]).toEqual([403, 'service.refused']);
  });

  it('the key of the other direction signs no request', async () => {
    const handle = await handleOf();
    const key = hmac(sha256, net.ticketSecret, keyLabel('resp', handle));
    expect((await forged(key, handle)).status).toBe(401);
  });

  it('the session key itself signs no request', async () => {
    expect((await forged(net.ticketSecret, await handleOf())).status).toBe(401);
  });

  it('the key of a request signs no answer', async () => {
    const handle = await handleOf();
    const key = hmac(sha256, net.ticketSecret, keyLabel('req', handle));
    net.wire = async (sent) => {
      const body = new TextEncoder().encode('{"retcode":0}');
      const headers = new Headers({ 'content-type': 'application/json' });
      headers.set('content-digest', contentDigest(body));
      const request = /=:([^:]+):/.exec(sent.headers.get('signature')!)![1]!;
      const label = { label: 'sig1', signature: bytesOf(request) };
      signResponse(key, { status: 200, headers }, label, { keyid: handle, created: 1 });
      return new Response(body, { headers });
    };
    await expect(client.call('POST', COMMAND, RM_JOHN)).rejects.toThrow('outcome unknown');
  });

  it('a session of another entity gives its own caps, whatever it asks as', async () => {
    const jane = await net.loggedIn('client.jane');
    const body = { ...RM_JOHN, entity: 'client.admin' };
    expect(json(await jane.call('POST', COMMAND, body)).retcode).toBe(-13);
  });
});

it('an app without sessions serves no listener on TCP', async () => {
  const listener = { kind: 'tcp', hosts: new Set(['x']) } as const;
  const headers = { host: 'x' };
  const reply = await net.kit.admin.request('http://x/v1/admin/health', { headers }, { listener });
  expect(reply.status).toBe(404);
});

it('the window is that of a slow twin that remembers all', () => {
  const rng = new Rng(seedOf(91));
  for (let round = 0; round < 200; round++) {
    const window = new SequenceWindow();
    const seen = new Set<bigint>();
    let newest = -1n;
    for (let i = 0; i < 200; i++) {
      const near = newest - 70n + BigInt(rng.int(140));
      const seq = rng.int(20) === 0 ? BigInt(rng.int(1_000_000)) : near < 0n ? 0n : near;
      const expected = !seen.has(seq) && seq > newest - 64n;
      expect(window.take(seq)).toBe(expected);
      if (expected) {
        seen.add(seq);
        if (seq > newest) newest = seq;
      }
    }
  }
});
