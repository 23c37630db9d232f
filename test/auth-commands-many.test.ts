/** Many users: all of them listed, and one more made, in the time that an operator waits. */

import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { command, commandDeps } from './auth-kit.ts';

const USERS = 100_000;
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const CAPS = '\tcaps mon = "allow r"\n\tcaps osd = "allow rw pool=liverpool"\n';

describe(`${USERS} users`, () => {
  it('are imported, listed within 2 s, and get-or-create takes less than 10 ms', {
    timeout: 240_000,
  }, async () => {
    const deps = commandDeps({ release: 20, guard: true });
    const sections = Array.from(
      { length: USERS },
      (_, i) => `[client.u${i}]\n\tkey = ${KEY}\n${CAPS}`,
    );
    const imported = await command(deps, { prefix: 'auth import' }, sections.join(''));
    expect(imported).toMatchObject({ retcode: 0 });
    const lists: number[] = [];
    // Time of the processor, and the best of a few: other tests run beside this one.
    while (lists.length < 5 && !(Math.min(...lists) < LIST_MAX_MS)) {
      const began = process.cpuUsage();
      const { output } = await command(deps, { prefix: 'auth ls', format: 'json' });
      lists.push(process.cpuUsage(began).user / 1000);
      expect(output.split('"entity":')).toHaveLength(USERS + 1);
    }
    expect(Math.min(...lists)).toBeLessThan(LIST_MAX_MS);
    const made: number[] = [];
    for (let i = 0; i < 51; i++) {
      const began = performance.now();
      const cmd = {
        prefix: 'auth get-or-create',
        entity: `client.new${i}`,
        caps: ['mon', 'allow r'],
      };
      expect(await command(deps, cmd)).toMatchObject({ retcode: 0 });
      made.push(performance.now() - began);
    }
    expect(made.sort((a, b) => a - b)[25]).toBeLessThan(10);
  });
});

const LIST_MAX_MS = 2000;
