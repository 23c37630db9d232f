/** `cephgate config show`, what wins over what, and what is refused. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { nearestOf } from '../src/cli/nearest.ts';
import { Settings } from '../src/cli/options.ts';
import { KNOWN_OPTIONS, policyOf } from '../src/cli/settings.ts';
import { DEFAULT_POLICY } from '../src/engine/index.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('config');
afterAll(() => folder.remove());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await cephgate(argv, {
    env,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: async () => new Uint8Array(),
  });
  return { code, out, err };
}

function configFile(document: unknown): string {
  const path = join(folder.path, 'config.json');
  writeFileSync(path, typeof document === 'string' ? document : JSON.stringify(document));
  return path;
}

describe('config show', () => {
  const show = async (
    argv: readonly string[],
    env?: Record<string, string>,
  ): Promise<Record<string, { value: unknown; origin: string }>> => {
    const ran = await run(['config', 'show', '--origin', '--json', ...argv], env);
    expect(ran).toMatchObject({ code: 0, err: '' });
    return JSON.parse(ran.out);
  };

  it('names every setting once', async () => {
    const shown = Object.keys(await show([]));
    expect(shown).toEqual([...new Set(KNOWN_OPTIONS.map(({ key }) => key))].sort());
    expect(shown).toContain('guard');
  });

  it('says of each where it came from, flags first and defaults last', async () => {
    const file = configFile({ skew: 1, expiry: 'ring', policy: 'strict', listen: ['unix:a', 'b'] });
    const env = { CEPHGATE_CONFIG: file, CEPHGATE_SKEW: '2', CEPHGATE_EXPIRY: 'report' };
    expect(await show(['--skew', '3'], env)).toMatchObject({
      skew: { value: '3', origin: '--skew' },
      expiry: { value: 'report', origin: 'CEPHGATE_EXPIRY' },
      policy: { value: 'strict', origin: `policy in "${file}"` },
      listen: { value: ['unix:a', 'b'], origin: `listen in "${file}"` },
      config: { value: file, origin: 'CEPHGATE_CONFIG' },
      session_lifetime: { value: 'ticket', origin: 'default' },
      secrets: { value: null, origin: 'default' },
    });
  });

  it('prints a table for people', async () => {
    const { out } = await run(['config', 'show', '--origin', '--skew', '7']);
    expect(out).toMatch(/^skew +7 +--skew$/m);
    expect(out).toMatch(/^expiry +enforce +default$/m);
    const bare = await run(['config', 'show']);
    expect(bare.out).toMatch(/^expiry +enforce$/m);
  });

  it('prints no login that stands in an address', async () => {
    const { out } = await run(['config', 'show', '--url', 'http://me:s3cret@h:1']);
    expect(out).toMatch(/^url +http:\/\/\*\*\*@h:1$/m);
  });

  it('tells the defaults that hold', () => {
    const told = new Map(
      KNOWN_OPTIONS.flatMap(({ name, default: value }) => (value ? [[name, [value]]] : [])),
    ) as Map<string, string[]>;
    const settings = new Settings(KNOWN_OPTIONS, [], { help: false, words: [], values: told }, {});
    const { sessionLifetime, sessionMaxAgeNs, msgr1Aes256k, ...judged } = DEFAULT_POLICY;
    expect(policyOf(settings)).toEqual(judged);
    expect(settings.text('session-lifetime')).toBe(sessionLifetime);
    expect(settings.seconds('session-max-age')).toBe(sessionMaxAgeNs);
    expect(settings.flag('sign-msgr1-aes256k')).toBe(msgr1Aes256k);
  });

  it.each([
    [['config'], 'expected "cephgate config show"'],
    [['config', 'set'], 'expected "cephgate config show"'],
    [['config', 'show', '--orgin'], 'unknown flag "--orgin", the nearest is "--origin"'],
  ])('%j is refused', async (argv, message) => {
    expect(await run(argv)).toEqual({ code: 2, out: '', err: `cephgate config: ${message}\n` });
  });
});

describe('an unknown setting', () => {
  it('of the environment is refused by every command, with the nearest known name', async () => {
    for (const command of ['serve', 'verify', 'check', 'config show', 'authtool']) {
      const { code, err } = await run(command.split(' '), { CEPHGATE_SKWE: '1' });
      expect({ command, code }).toEqual({ command, code: 2 });
      const hint = 'unknown setting in the environment: "CEPHGATE_SKWE"';
      expect(err).toContain(`${hint}, the nearest is "CEPHGATE_SKEW"\n`);
    }
  });

  it('of the file is refused, with the nearest known name where there is one', async () => {
    for (const [key, hint] of [
      ['session_lifetme', ', the nearest is "session_lifetime"'],
      ['zzzzzz', ''],
      ['confg', ''],
    ]) {
      const file = configFile({ [key!]: '1' });
      const { code, err } = await run(['config', 'show', '--config', file]);
      expect(code).toBe(2);
      expect(err).toBe(`cephgate config: unknown setting in "${file}": "${key}"${hint}\n`);
    }
  });

  it.each([
    ['"text"', 'not a JSON object'],
    ['[]', 'not a JSON object'],
    ['{', 'not a JSON file'],
  ])('a file that holds %s is refused', async (text, why) => {
    const file = configFile(text);
    const { err } = await run(['config', 'show', '--config', file]);
    expect(err).toBe(`cephgate config: cannot read config file "${file}": ${why}\n`);
  });

  it('a file that is missing is refused', async () => {
    const { code, err } = await run(['config', 'show', '--config', '/no/such']);
    expect(code).toBe(2);
    expect(err).toBe('cephgate config: cannot read config file "/no/such": ENOENT\n');
  });
});

describe('the settings of the Ceph-like commands', () => {
  it('are known to the other commands', async () => {
    const env = { CEPHGATE_GUARD: 'off', CEPHGATE_RELEASE: '16' };
    const { err } = await run(['check', '--caps', 'allow r'], env);
    expect(err).not.toContain('unknown setting');
  });

  it('come from the config file too', async () => {
    const path = join(folder.path, 'k');
    writeFileSync(path, 'something');
    const create = (env: Record<string, string>): Promise<Ran> =>
      run(['authtool', '--create-keyring', path], env);
    expect((await create({})).err).toContain('refusing to create');
    expect((await create({ CEPHGATE_CONFIG: configFile({ guard: 'off' }) })).code).toBe(0);
  });
});

describe('the nearest name', () => {
  it('is what was meant, after one letter went wrong', () => {
    const rng = new Rng(seedOf(20261125));
    const known = KNOWN_OPTIONS.map(({ key }) => key!).filter((key) => key.length > 4);
    for (let i = 0; i < 500; i++) {
      const name = rng.pick(known);
      const at = rng.int(name.length);
      const cut = rng.int(2);
      const put = rng.pick(['', 'q', '_']);
      const typed = name.slice(0, at) + put + name.slice(at + cut);
      if (known.includes(typed)) continue;
      const nearest = nearestOf(typed, known)!;
      expect({ typed, nearest, near: oneLetterApart(typed, nearest) }).toMatchObject({
        near: true,
      });
    }
  });

  it('is none where nothing is near', () => {
    expect(nearestOf('zzzz', ['skew', 'data'])).toBeUndefined();
    expect(nearestOf('', ['skew'])).toBeUndefined();
    expect(nearestOf('s'.repeat(1_000_000), ['skew'])).toBeUndefined();
  });

  /** Without one letter of the one, of the other, or of both, they are the same. */
  function oneLetterApart(a: string, b: string): boolean {
    const without = (text: string, at: number): string => text.slice(0, at) + text.slice(at + 1);
    const places = Array.from({ length: a.length + b.length }, (_, at) => at);
    return places.some(
      (at) =>
        without(a, at) === b ||
        without(b, at) === a ||
        (a !== b && without(a, at) === without(b, at)),
    );
  }
});
