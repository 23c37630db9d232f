/** The examples of the README do what it says. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { Engine } from '../src/engine/index.ts';
import { makeSecret, makeTicket } from './authorizers.ts';
import { Rng } from './rng.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

it('verifies an authorizer and checks an operation in a program', async () => {
  const code = /<!-- example: verify -->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const body = code.replace("import { Engine } from 'cephgate/engine';", '');
  expect(body).not.toBe(code);
  const rng = new Rng(1);
  const { key, encoded } = makeSecret('aes256k', rng.random);
  const ticket = makeTicket(key, rng.random, { createdNs: BigInt(Date.now()) * 1_000_000n });
  const said: unknown[][] = [];
  const names = ['Engine', 'serviceSecret', 'authorizer', 'serverChallenge', 'console'];
  const AsyncFunction = (async () => undefined).constructor as FunctionConstructor;
  const example = new AsyncFunction(...names, body) as (...args: unknown[]) => Promise<void>;
  const log = (...words: unknown[]): void => void said.push(words);
  await example(Engine, encoded, ticket.authorizer(7n), 7n, { log });
  expect(said).toEqual([['ok', 'john', 'allow rw pool=liverpool'], [true]]);
});

it('has commands on caps and keys that run as they stand', async () => {
  const lines = [...readme.matchAll(/^npx cephgate (caps|authtool) (.+)$/gm)];
  expect(lines.length).toBeGreaterThan(2);
  for (const [line, command, rest] of lines) {
    const words = [...(rest as string).matchAll(/'([^']*)'|(\S+)/g)].map(([, a, b]) => a ?? b);
    let errors = '';
    const code = await cephgate([command as string, ...(words as string[])], {
      ...{ env: {}, out: () => undefined, read: async () => new Uint8Array(0) },
      err: (text: string) => {
        errors += text;
      },
    } as never);
    // A cap may say no; nothing may be misunderstood.
    expect([line, errors, code <= 1]).toEqual([line, '', true]);
  }
});
