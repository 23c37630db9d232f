/** Long work in pieces: others have their turn, and the result is that of all of it at once. */

import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ADMIN_BODY_LIMITS, createAdminApp } from '../src/http/admin.ts';
import { encodeBase64 } from '../src/http/codec.ts';
import { KeyRing } from '../src/keyring/keyring.ts';
import { atOnce, each, inTurns, type Steps } from '../src/turns.ts';
import { commandDeps, dump } from './auth-kit.ts';

describe('work in pieces', () => {
  function* counting(n: number): Steps<number> {
    for (let i = 0; i < n; i++) yield;
    return n;
  }

  it('gives what it gives at once', async () => {
    for (const n of [0, 1, 63, 64, 65, 1000]) {
      expect(atOnce(counting(n))).toBe(n);
      expect(await inTurns(counting(n))).toBe(n);
    }
    const seen: number[] = [];
    await inTurns(each([1, 2, 3], (item) => void seen.push(item)));
    expect(seen).toEqual([1, 2, 3]);
  });

  it('lets others have a turn after ten milliseconds of work, and not before', async () => {
    for (const [stepMs, expected] of [
      // 1,280 steps are 20 looks at the clock.
      [1, 20],
      [0.1, 10],
      [0.001, 0],
    ] as const) {
      let [clock, turns, over] = [0, 0, false];
      const others = (async () => {
        for (await turn(); !over; await turn()) turns++;
      })();
      const steps = each(Array.from({ length: 1_280 }), () => {
        clock += stepMs;
      });
      await inTurns(steps, () => clock);
      over = true;
      await others;
      expect(Math.abs(turns - expected)).toBeLessThanOrEqual(1);
    }
  });

  it('ends with the error of the work', async () => {
    const failing = (): Steps<void> =>
      each([1, 2], (item) => {
        if (item === 2) throw new RangeError('two');
      });
    expect(() => atOnce(failing())).toThrow('two');
    await expect(inTurns(failing())).rejects.toThrow('two');
  });
});

describe(`the import of a large keyring`, () => {
  it('leaves the others of the process their turns', async () => {
    const deps = commandDeps({ release: 20, guard: true });
    const text = keyringOf(20_000);
    const app = createAdminApp({ command: deps, body: ADMIN_BODY_LIMITS, log: () => undefined });
    const input = encodeBase64(new TextEncoder().encode(text));
    const begin = cpuMs();
    let [last, longest, turns, over] = [begin, 0, 0, false];
    const others = (async () => {
      for (await turn(); !over; await turn()) {
        longest = Math.max(longest, cpuMs() - last);
        last = cpuMs();
        turns++;
      }
    })();
    const response = await app.request(
      '/v1/admin/command',
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', host: 'localhost' },
        body: JSON.stringify({ prefix: 'auth import', input }),
      },
      { listener: { kind: 'unix' } },
    );
    expect(await response.json()).toMatchObject({ retcode: 0 });
    over = true;
    await others;
    const all = cpuMs() - begin;
    const shown = `${turns} turns in ${all} ms, the longest wait ${longest} ms`;
    console.log(`import of 20000 entities: ${shown} (of a processor)`);
    // Reading the body is one piece; when parsing was another, it was more than half of all.
    expect(longest, shown).toBeLessThan(all / 4);
    expect(turns).toBeGreaterThan(200);
    expect(await dump(deps.store)).toBe(text);
  }, 120_000);

  it('is parsed as it is at once', () => {
    const bytes = new TextEncoder().encode(keyringOf(100));
    expect(atOnce(KeyRing.parseSteps(bytes)).format()).toBe(KeyRing.parse(bytes).format());
  });
});

function keyringOf(users: number): string {
  const rest = `\tkey = ${KEY}\n\tcaps mon = "allow r"\n\tcaps osd = "allow rw pool=liverpool"\n`;
  const name = (i: number) => `client.u${String(i).padStart(7, '0')}`;
  return Array.from({ length: users }, (_, i) => `[${name(i)}]\n${rest}`).join('');
}

/** Of this process: waiting for a processor does not count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
