/** Service secrets and state keys: files, rotation, and when a secret ends. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Engine } from '../src/engine/index.ts';
import { FileError } from '../src/errors.ts';
import { RotatingRing, StaticRing } from '../src/http/ring.ts';
import {
  formatSecrets,
  parseSecrets,
  readSecretsFile,
  type Secret,
  type ServiceName,
} from '../src/http/secretsfile.ts';
import { loadStateKeys } from '../src/http/statekey.ts';
import { HOUR_NS, makeSecret, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const { random } = new Rng(seedOf(29));
const folder = mkdtempSync(join(tmpdir(), 'cephgate-ring-'));
afterAll(() => rmSync(folder, { recursive: true }));

let engine: Engine;
beforeEach(async () => {
  engine = await Engine.create({ preset: 'small' });
});

function secret(service: ServiceName, id: bigint, expiresNs?: bigint): Secret {
  return { service, secretId: id, key: makeSecret('aes256k', random).key, expiresNs };
}

/** Ids that the engine still has for a service: it refuses to remove the others. */
function kept(service: number, ids: readonly bigint[]): bigint[] {
  return ids.filter((id) => {
    const there = engine.secretCount(service);
    return engine.removeSecret(service, id) && engine.secretCount(service) === there - 1;
  });
}

describe('a static set', () => {
  const SET = [
    secret('osd', 1n, NOW_NS),
    secret('osd', 2n, NOW_NS + HOUR_NS),
    secret('osd', 5n, NOW_NS + 2n * HOUR_NS),
    secret('mds', 1n, undefined),
    secret('mds', 2n, undefined),
  ];

  it.each([
    [0n, [1n, 2n, 5n]],
    [HOUR_NS - 1n, [1n, 2n, 5n]],
    [HOUR_NS, [2n, 5n]],
    [2n * HOUR_NS - 1n, [2n, 5n]],
    [2n * HOUR_NS, [5n]],
    [1000n * HOUR_NS, [5n]],
  ])('after %s ns keeps the osd secrets %s, by load and by advance', (after, ids) => {
    const loaded = new StaticRing(engine, SET, NOW_NS + after, false);
    expect(loaded.size).toBe(ids.length + 2);
    expect(kept(4, [1n, 2n, 5n])).toEqual(ids);
    expect(kept(2, [1n, 2n])).toEqual([1n, 2n]);
    const advanced = new StaticRing(engine, SET, NOW_NS, false);
    advanced.advance(NOW_NS + after);
    expect(kept(4, [1n, 2n, 5n])).toEqual(ids);
  });

  it('counts its sets', () => {
    const ring = new StaticRing(engine, SET, NOW_NS, false);
    expect(ring.snapshot).toBe(1n);
    ring.advance(NOW_NS);
    expect(ring.snapshot).toBe(1n);
    ring.advance(NOW_NS + HOUR_NS);
    expect(ring.snapshot).toBe(2n);
    ring.replace(SET, NOW_NS);
    expect(ring.snapshot).toBe(3n);
  });

  it('leaves out the general secret, mon and auth, unless asked', () => {
    const general = secret('osd', 18446744073709551615n);
    const set = [...SET, general, secret('mon', 1n), secret('auth', 1n)];
    expect(new StaticRing(engine, set, NOW_NS, false).size).toBe(5);
    expect(new StaticRing(engine, set, NOW_NS, true).size).toBe(6);
    expect([engine.secretCount(1), engine.secretCount(32)]).toEqual([0, 0]);
  });

  it('stays as it was when another cannot be put', () => {
    const ring = new StaticRing(engine, SET, NOW_NS, false);
    const putSecret = engine.putSecret.bind(engine);
    let calls = 0;
    engine.putSecret = (each) => {
      calls += 1;
      if (calls === 2) throw new RangeError('full');
      putSecret(each);
    };
    expect(() => ring.replace([secret('osd', 8n), secret('osd', 9n)], NOW_NS)).toThrow(RangeError);
    expect([ring.size, ring.snapshot]).toEqual([5, 1n]);
    expect(kept(4, [1n, 2n, 5n, 8n, 9n])).toEqual([1n, 2n, 5n]);
  });
});

describe('a rotating set', () => {
  let saved: readonly Secret[];
  let failures: unknown[];
  function open(nowNs: bigint): RotatingRing {
    return new RotatingRing(engine, nowNs, {
      ttlNs: HOUR_NS,
      random,
      load: () => saved,
      save: (secrets) => {
        saved = secrets;
      },
      failed: (error) => void failures.push(error),
    });
  }
  function osd(): [bigint, bigint][] {
    return saved
      .filter(({ service }) => service === 'osd')
      .map(({ secretId, expiresNs }) => [secretId, (expiresNs! - NOW_NS) / HOUR_NS]);
  }
  beforeEach(() => {
    saved = [];
    failures = [];
  });

  it('begins as a fresh cluster does: ids 1, 2, 3 for 1, 2, 3 ttl', () => {
    const ring = open(NOW_NS);
    expect(osd()).toEqual([
      [1n, 1n],
      [2n, 2n],
      [3n, 3n],
    ]);
    expect(ring.size).toBe(9);
    expect(saved.every(({ key }) => key.typeName === 'aes256k')).toBe(true);
    expect(new Set(saved.map(({ key }) => key.toBase64())).size).toBe(9);
    expect([4, 2, 16].map((service) => engine.secretCount(service))).toEqual([3, 3, 3]);
  });

  it('rotates when the current secret has expired', () => {
    const ring = open(NOW_NS);
    ring.advance(NOW_NS + 2n * HOUR_NS - 1n);
    expect(osd().map(([id]) => id)).toEqual([1n, 2n, 3n]);
    ring.advance(NOW_NS + 2n * HOUR_NS);
    expect(osd()).toEqual([
      [2n, 2n],
      [3n, 3n],
      [4n, 4n],
    ]);
    expect(kept(4, [1n, 2n, 3n, 4n])).toEqual([2n, 3n, 4n]);
    expect(ring.snapshot).toBe(2n);
  });

  it('catches up after a long time away', () => {
    open(NOW_NS);
    open(NOW_NS + 100n * HOUR_NS);
    expect(osd()).toEqual([
      [3n, 3n],
      [4n, 102n],
      [5n, 103n],
    ]);
  });

  it('goes on with the set of an earlier process', () => {
    open(NOW_NS);
    const before = saved;
    open(NOW_NS + HOUR_NS);
    expect(saved).toBe(before);
  });

  it('takes the set that another process rotated', () => {
    const ring = open(NOW_NS);
    const twin = open(NOW_NS);
    const later = NOW_NS + 2n * HOUR_NS;
    twin.advance(later);
    const rotated = saved;
    ring.advance(later);
    expect(saved).toBe(rotated);
    expect(ring.snapshot).toBe(2n);
  });

  it('stays as it was when the new set cannot be kept, and tries again', () => {
    let full = false;
    const ring = new RotatingRing(engine, NOW_NS, {
      ttlNs: HOUR_NS,
      random,
      load: () => saved,
      save: (secrets) => {
        if (full) throw new FileError('file.write', 'full');
        saved = secrets;
      },
      failed: (error) => void failures.push(error),
    });
    full = true;
    const later = NOW_NS + 2n * HOUR_NS;
    ring.advance(later);
    ring.advance(later + 1n);
    expect([failures.length, ring.snapshot]).toEqual([1, 1n]);
    full = false;
    ring.advance(later + 30_000_000_000n);
    expect(ring.snapshot).toBe(2n);
  });
});

describe('a secrets file', () => {
  const path = join(folder, 'secrets.json');
  const entry = {
    service: 'osd',
    secret_id: '2',
    key: makeSecret('aes', random).key.toBase64(),
    expires: null,
  };
  const document = (...secrets: unknown[]): string =>
    JSON.stringify({ format: 'cephgate-secrets/1', secrets });

  it('says what it was told', () => {
    const set = [secret('osd', 1n, NOW_NS + 1n), secret('auth', 18446744073709551615n, undefined)];
    const read = parseSecrets(formatSecrets(set), 'F');
    expect(read.map((each) => ({ ...each, key: each.key.toBase64() }))).toEqual(
      set.map((each) => ({ ...each, key: each.key.toBase64() })),
    );
  });

  it.each([0o644, 0o640, 0o660, 0o604, 0o700])('of mode %o is refused by name', (mode) => {
    writeFileSync(path, document(entry));
    chmodSync(path, mode);
    const shown = mode.toString(8).padStart(4, '0');
    expect(() => readSecretsFile(path)).toThrow(`its mode is ${shown}, expected 0600`);
    chmodSync(path, 0o600);
    expect(readSecretsFile(path)).toHaveLength(1);
  });

  it.each([
    ['{', 'it is not JSON'],
    ['[]', 'the document has type list'],
    ['{"format":"cephgate-secrets/2","secrets":[]}', '"format"'],
    ['{"format":"cephgate-secrets/1"}', '"secrets" is missing'],
    [document({ ...entry, service: 'client' }), '"secrets[0].service"'],
    [document(entry, { ...entry, secret_id: 3 }), '"secrets[1].secret_id" has type number'],
    [document({ ...entry, key: 'AQ==' }), '"secrets[0].key" has the fault decode.truncated'],
    [document({ ...entry, key: 'no base64' }), '"secrets[0].key" has the fault base64'],
    [document({ ...entry, key: 'AAAAAAAAAAAAAAAA' }), 'a secret of 0 bytes'],
    [document({ ...entry, expires: 'soon' }), '"secrets[0].expires"'],
    [document({ ...entry, expires: undefined }), '"secrets[0].expires" is missing'],
    [document({ ...entry, more: 1 }), '"secrets[0].more" is not known'],
    [document(entry, entry), 'the secret osd 2 is given twice'],
    [
      document(...Array.from({ length: 65 }, (_, id) => ({ ...entry, secret_id: String(id) }))),
      'more than 64 secrets for service osd',
    ],
  ])('%#: %s', (text, why) => {
    expect(() => parseSecrets(text, 'F')).toThrow(FileError);
    expect(() => parseSecrets(text, 'F')).toThrow(why);
    try {
      parseSecrets(text, 'F');
    } catch (error) {
      expect(String(error)).not.toContain(entry.key.slice(4, 20));
    }
  });
});

describe('the state keys', () => {
  const path = join(folder, 'state.key');
  const DAY_NS = 24n * HOUR_NS;

  it('are made once, for the owner only, and change every week', () => {
    const first = loadStateKeys(path, NOW_NS, random);
    expect(first.current).toHaveLength(32);
    expect(first.previous).toBeUndefined();
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(loadStateKeys(path, NOW_NS + 7n * DAY_NS, random)).toEqual(first);
    const second = loadStateKeys(path, NOW_NS + 7n * DAY_NS + 1n, random);
    expect(second.previous).toEqual(first.current);
    expect(second.current).not.toEqual(first.current);
    const third = loadStateKeys(path, NOW_NS + 15n * DAY_NS, random);
    expect(third.previous).toEqual(second.current);
    expect(JSON.parse(readFileSync(path, 'utf8')).keys).toHaveLength(2);
  });

  it('are refused when others can read them, or when they are none', () => {
    chmodSync(path, 0o644);
    expect(() => loadStateKeys(path, NOW_NS, random)).toThrow('its mode is 0644');
    chmodSync(path, 0o600);
    writeFileSync(path, '{"format":"cephgate-state/1","keys":[{"key":"AAAA","created":"x"}]}');
    expect(() => loadStateKeys(path, NOW_NS, random)).toThrow('"keys[0].key" has 3 bytes');
    writeFileSync(path, 'x');
    expect(() => loadStateKeys(path, NOW_NS, random)).toThrow('it is not JSON');
  });
});
