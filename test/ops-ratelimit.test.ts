/** Rate limits: a bucket for each caller, in bounded memory. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { RateLimiter, rateKey } from '../src/http/ratelimit.ts';
import { logged, startServe, stopLeft } from './ops-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { send, temporaryFolder } from './spawn.ts';

const SECOND = 1_000_000_000n;
const folder = temporaryFolder('rates');
afterEach(stopLeft);
afterAll(folder.remove);

describe('a limiter', () => {
  it('lets a burst pass, and then as many a second as it should', () => {
    const limiter = new RateLimiter({ perSecond: 2, burst: 5 });
    const passed = (now: bigint): number => {
      let count = 0;
      while (limiter.take('a', now) === 0) count++;
      return count;
    };
    expect(passed(0n)).toBe(5);
    expect(passed(SECOND / 2n)).toBe(1);
    expect(passed(10n * SECOND)).toBe(5);
    expect(limiter.take('b', 10n * SECOND)).toBe(0);
  });

  it('never lets more pass than a plain sum over all requests allows', () => {
    const rng = new Rng(seedOf(20261126));
    for (let round = 0; round < 50; round++) {
      const limit = { perSecond: 1 + rng.int(20), burst: 1 + rng.int(10) };
      const limiter = new RateLimiter(limit);
      const passed: number[] = [];
      let ms = 0;
      for (let i = 0; i < 200; i++) {
        ms += rng.int(120);
        if (limiter.take('a', BigInt(ms) * 1_000_000n) === 0) passed.push(ms);
      }
      // In any span of time: the burst, and what came in meanwhile.
      const excess = passed.flatMap((from, i) =>
        passed.slice(i).map((to, more) => {
          return more + 1 - limit.burst - ((to - from) / 1_000) * limit.perSecond;
        }),
      );
      expect(Math.max(...excess)).toBeLessThanOrEqual(1e-6);
      expect(passed.length).toBeGreaterThan(0);
    }
  });

  it('says when to come back, and keeps that word', () => {
    const limiter = new RateLimiter({ perSecond: 0.25, burst: 1 });
    expect(limiter.take('a', 0n)).toBe(0);
    const wait = limiter.take('a', 0n);
    expect(wait).toBe(4);
    expect(limiter.take('a', BigInt(wait) * SECOND)).toBe(0);
  });

  it('gives nothing for a clock that is set back', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
    expect(limiter.take('a', 100n * SECOND)).toBe(0);
    expect(limiter.take('a', 0n)).not.toBe(0);
    expect(limiter.take('a', SECOND)).toBe(0);
  });

  it('holds a bounded number of callers, and takes nothing from those it holds', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 2 }, 10);
    for (let i = 0; i < 10; i++) expect(limiter.take(`caller ${i}`, 0n)).toBe(0);
    const newcomers = Array.from({ length: 1_000 }, (_, i) => limiter.take(`new ${i}`, 0n));
    expect(newcomers.filter((wait) => wait === 0)).toHaveLength(2);
    expect(limiter.size).toBeLessThanOrEqual(11);
    for (let i = 0; i < 10; i++) expect(limiter.take(`caller ${i}`, 0n)).toBe(0);
    // Who was not heard of for long makes room.
    expect(limiter.take('later', 60n * SECOND)).toBe(0);
    expect(limiter.size).toBe(1);
  });

  it('without limit counts nobody', () => {
    const limiter = new RateLimiter(undefined);
    for (let i = 0; i < 100; i++) expect(limiter.take('a', 0n)).toBe(0);
    expect(limiter.size).toBe(0);
  });
});

describe('one caller', () => {
  it.each([
    ['unix', undefined, 'unix'],
    ['token:ab', '192.0.2.1', 'token:ab'],
    ['tcp', '192.0.2.1', 'tcp/192.0.2.1'],
    ['tcp', '::ffff:192.0.2.1', 'tcp/192.0.2.1'],
    ['tcp', '2001:db8:1:2:3:4:5:6', 'tcp/2001:db8:1:2'],
    ['tcp', '2001:db8:1:2::9', 'tcp/2001:db8:1:2'],
    ['tcp', '2001:db8::9', 'tcp/2001:db8:0:0'],
    ['tcp', '::1', 'tcp/0:0:0:0'],
    ['tcp', 'fe80::1%eth0', 'tcp/fe80:0:0:0'],
    ['tcp', undefined, 'tcp'],
  ])('%s from %s is %s', (id, remote, key) => {
    expect(rateKey(id, remote)).toBe(key);
  });
});

it('a sidecar answers 429 to who asks too often, and to nobody else', async () => {
  const config = join(folder.path, 'config.json');
  writeFileSync(config, JSON.stringify({ rate_limit: 1, rate_burst: 3 }));
  const listen = ['--listen', 'tcp:127.0.0.1:0', '--listen', 'unix:s'];
  const sidecar = await startServe(folder.path, [...listen, '--config', config]);
  const tcp = { host: '127.0.0.1', port: sidecar.port };
  const unix = { socketPath: join(folder.path, 's') };
  const check = { service: 'osd', session: 'AAAAAAAAAAAAAAAAAAAAAA==', op: { pool: 'p' } };
  const ask = async (where: object): Promise<number> =>
    (await send(where, '/v1/check', check)).status;
  const statuses: number[] = [];
  for (let i = 0; i < 5; i++) statuses.push(await ask(tcp));
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(0);
  const { status, headers, body } = await send(tcp, '/v1/check', check);
  expect({ status, code: body.code }).toEqual({ status: 429, code: 'rate.limited' });
  expect(headers['retry-after']).toBe('1');
  expect(await ask(unix)).not.toBe(429);
  for (const path of ['/livez', '/readyz']) expect((await send(tcp, path)).status).toBe(200);

  writeFileSync(config, '{}');
  await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
  for (let i = 0; i < 20; i++) expect(await ask(tcp)).not.toBe(429);
  sidecar.raise('SIGTERM');
  expect(await sidecar.ended).toBe(0);
});
