/** Many users: all of them listed, and one more made, in the time that an operator waits. */

import { describe, expect, it } from 'vitest';
import { command, commandDeps } from './auth-kit.ts';
import { cpuMsOf } from './cputime.ts';

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
    // Time of the processor, and the best of a few, some time apart: other tests run beside this
    // one, and share its caches.
    while (lists.length < 12 && !(Math.min(...lists) < LIST_MAX_MS)) {
      if (lists.length > 2) await new Promise((resolve) => setTimeout(resolve, 2_000));
      const list = async (): Promise<void> => {
        const { output } = await command(deps, { prefix: 'auth ls', format: 'json' });
        expect(output.split('"entity":')).toHaveLength(USERS + 1);
      };
      lists.push(await cpuMsOf(list));
    }
    console.log(`listed in ${lists.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    expect(Math.min(...lists)).toBeLessThan(LIST_MAX_MS);
    const made: number[] = [];
    for (let i = 0; i < 51; i++) {
      const cmd = {
        prefix: 'auth get-or-create',
        entity: `client.new${i}`,
        caps: ['mon', 'allow r'],
      };
      const make = async (): Promise<void> => {
        expect(await command(deps, cmd)).toMatchObject({ retcode: 0 });
      };
      made.push(await cpuMsOf(make));
    }
    expect(made.sort((a, b) => a - b)[25]).toBeLessThan(10);
  });
});

const LIST_MAX_MS = 2000;
