/** Keyring files: their grammar, their two forms, and where a client looks for them. */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { formatEntityName, parseEntityName } from '../src/cephx/protocol.ts';
import { CephConf, type ClientOptions } from '../src/keyring/cephconf.ts';
import { ConfFileError, parseConfFile } from '../src/keyring/conffile.ts';
import { errorWords, readFileBytes, replaceFile } from '../src/keyring/files.ts';
import { KeyRing, KeyRingError } from '../src/keyring/keyring.ts';
import { findClientKey, KeyringSearchError } from '../src/keyring/keyringsearch.ts';
import { decodeKeyText } from '../src/keyring/keytext.ts';
import { Rng, seedOf } from './rng.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const OTHER = 'AQBwZWxgAAAAABAAEBESExQVFhcYGRobHB0eHw==';
const KEY_2 = 'AgABAAAAAQAAACAAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=';
const bytes = (text: string) => new TextEncoder().encode(text);
const seed = seedOf(20261124);

describe('text form', () => {
  it(`reads back what it writes, seed ${seed}`, () => {
    const rng = new Rng(seed);
    for (let i = 0; i < 300; i++) {
      const keyring = randomKeyring(rng, CAPS_THAT_SURVIVE, [1, 2]);
      const text = keyring.format();
      expect(KeyRing.parse(bytes(text)).format()).toBe(text);
      expect(KeyRing.parse(bytes(disguised(rng, text))).format()).toBe(text);
    }
  });

  it(`answers any text, seed ${seed}`, () => {
    const rng = new Rng(seed);
    const text = randomKeyring(rng, CAPS_THAT_SURVIVE, [1]).format();
    let read = 0;
    for (let i = 0; i < 2000; i++) {
      const at = rng.int(text.length);
      const changed = bytes(text);
      changed[at] = rng.int(256);
      try {
        KeyRing.parse(changed, rng.pick([16, 20]));
        read++;
      } catch (error) {
        if (!(error instanceof KeyRingError)) throw error;
        expect(error.message).not.toMatch(/[A-Za-z0-9+/]{20}/);
      }
    }
    expect(read).toBeGreaterThan(100);
  });

  it.each([
    ['[client.a]\nkey = zz\n', 'error setting modifier for [client.a] type=key val=zz'],
    ['[client.a]\npending_x = 1\n', 'error setting modifier for [client.a] type=pending x val=1'],
    ['[foo]\nkey = zz\n', 'bad entity name in keyring: foo'],
    ['[client.a]\nkey zz\n', 'cannot parse buffer'],
    ['[client.é]\n', 'cannot parse buffer'],
  ])('refuses %j in Ceph’s words', (text, words) => {
    const error = thrownBy(() => KeyRing.parse(bytes(text)));
    expect(error).toBeInstanceOf(KeyRingError);
    expect((error as KeyRingError).words).toBe(words);
  });

  it('orders entities by type number and bytes of the id', () => {
    const names = ['client.b', 'client.a', 'osd.9', 'osd.10', 'mgr.x', 'mon.', 'client.\u{10000}'];
    const keyring = new KeyRing();
    for (const name of [...names, 'client.\uffff']) {
      keyring.add(parseEntityName(name)!, { key: CryptoKey.none(), caps: new Map() });
    }
    expect(keyring.entities().map(([name]) => formatEntityName(name))).toEqual([
      'mon.',
      'osd.10',
      'osd.9',
      'client.a',
      'client.b',
      'client.\uffff',
      'client.\u{10000}',
      'mgr.x',
    ]);
  });

  it('refuses aes256k and pending keys under release 16', () => {
    const text = `[client.a]\n\tkey = ${KEY}\n\tpending key = ${KEY_2}\n`;
    expect(KeyRing.parse(bytes(text), 20).format()).toBe(text);
    expect(() => KeyRing.parse(bytes(text), 16)).toThrow(KeyRingError);
    expect(() => KeyRing.parse(bytes(`[client.a]\nkey = ${KEY_2}\n`), 16)).toThrow(KeyRingError);
  });
});

describe('binary form', () => {
  it(`is read back under release 16, also caps that no text can hold, seed ${seed}`, () => {
    const rng = new Rng(seed);
    for (let i = 0; i < 100; i++) {
      const keyring = randomKeyring(rng, ['a # b', ' a ', 'é', 'a\nb', ''], [1]);
      const encoded = keyring.encode();
      expect(KeyRing.parse(encoded, 16).format()).toBe(keyring.format());
      expect(() => KeyRing.parse(encoded.subarray(0, -1 - rng.int(9)), 16)).toThrow(KeyRingError);
    }
  });

  it('is refused under release 20', () => {
    const encoded = randomKeyring(new Rng(seed), ['allow *'], [1]).encode();
    expect(() => KeyRing.parse(encoded, 20)).toThrow(KeyRingError);
  });
});

describe('key text', () => {
  // Seen with ceph-authtool 16.2.15.
  it.each([
    [`${KEY}garbage`, KEY],
    [`AQBw\nZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==\n`, KEY],
    [`=QBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==`, KEY],
    ['AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODx==', KEY],
    ['BQBwZWxgAAAAAAAA', 'BQBwZWxgAAAAAAAA'],
    ['AABwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==', 'AABwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw=='],
    ['AQ==BwZW', undefined],
    ['AQB\nwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==', undefined],
    [KEY.slice(0, -2), undefined],
    [` ${KEY}`, undefined],
    ['', undefined],
  ])('%j', (text, expected) => {
    const decoded = () => decodeKeyText(text, 16).toBase64();
    if (expected === undefined) expect(decoded).toThrow('Cannot decode');
    else expect(decoded()).toBe(expected);
  });
});

describe('configuration files', () => {
  // Seen with `ceph-authtool --caps` of 16.2.15.
  it.each([
    ['[global\n', `expected '"]"' in line 1 at position 8`],
    ['[]\n', `expected '<difference><unnamed-rule>"]"' in line 1 at position 2`],
    ['[global]x\n', "expected '<empty_line>' in line 1 at position 9"],
    ['[global]\nmon = "x\n', `expected '"""' in line 2 at position 9`],
    ['[global]\n\t\tmon = "x" y\n', "expected '<empty_line>' in line 2 at position 18"],
    ['[global]\nmon = x', "expected '<empty_line>' in line 2 at position 8"],
    ['[global]\rmon x\r', "expected '<eoi>' in line 2 at position 1"],
    ['[global]\nmon = x\n\0', "expected '<eoi>' in line 3 at position 1"],
  ])('refuses %j', (text, words) => {
    const error = thrownBy(() => parseConfFile(bytes(text)));
    expect(error).toBeInstanceOf(ConfFileError);
    expect((error as ConfFileError).words).toBe(`parse error: ${words}`);
  });

  it('says where text is that it cannot hold', () => {
    const words = (text: Uint8Array) =>
      (thrownBy(() => parseConfFile(text)) as ConfFileError).words;
    const invalid = new Uint8Array([0x0a, 0xff]);
    expect(words(invalid)).toBe('parse error: invalid UTF-8 found at line 2');
    expect(words(bytes('\n\né'))).toBe('parse error: text that is not ASCII found at line 3');
  });
});

describe('where a client looks', () => {
  let cwd = '';
  beforeEach(() => {
    cwd = fs.mkdtempSync(join(tmpdir(), 'cephgate-keyring-'));
  });
  afterEach(() => {
    fs.rmSync(cwd, { recursive: true });
  });
  const write = (name: string, text: string) => fs.writeFileSync(join(cwd, name), text);
  const around = (env: Record<string, string> = {}) => ({
    env: { HOME: '/root', ...env },
    cwd,
    host: 'vm.example',
    pid: 7,
  });
  const client = (text: string): ClientOptions => ({
    name: parseEntityName(text)!,
    conf: 'ceph.conf',
  });

  // Seen with ceph-conf 16.2.15.
  it.each([
    ['/a/$type/$id/x', '/a/client/a/x'],
    [`\${name}x`, 'client.ax'],
    ['/n/$nosuch/y', '/n/$nosuch/y'],
    ['/$$/y', '/$$/y'],
    ['$host.$pid', 'vm.7'],
    ['$mon_data', '/var/lib/ceph/mon/ceph-a'],
    ['$data_dir', '$data_dir'],
    ['a$idx', 'a$idx'],
    [`\${id}x`, 'ax'],
    [`\${id`, '$'],
    ['a$', 'a$'],
    ['$id$id', 'aa'],
    ['$id-b', 'a-b'],
    [`\${nosuch}z`, `\${nosuch}z`],
    ['$mon_host', '1.2.3.4'],
    ['~/k', '~/k'],
    ['/a,$home/.k,$id', '/root/.k,a'],
    ['$home/.k', '/root/.k'],
    ['$cluster', 'ceph'],
    [`\${log-file}`, '$-file}'],
    ['$keyring', '$keyring'],
  ])('expands %s', (typed, expanded) => {
    write('ceph.conf', `[client.a]\nkeyring = ${typed}\nmon host = 1.2.3.4\n`);
    expect(new CephConf(client('client.a'), around()).get('keyring')).toBe(expanded);
  });

  it.each([
    ['client.a', {}, 'e'],
    ['client.', {}, 'f'],
    ['osd.0', {}, 'x'],
    ['osd.0', { CEPH_KEYRING: '/e/$name' }, '/e/osd.0'],
  ])('takes the nearest section for %s %j', (name, env, expected) => {
    const sections = '[client]\nkeyring = c\nkeyring = d\n[client]\nkeyring = e\n[client.]\n';
    write('ceph.conf', `[global]\nkeyring=x\n${sections}keyring=f\n[ceph]\nkeyring=z\n`);
    expect(new CephConf(client(name), around(env)).get('keyring')).toBe(expected);
  });

  it.each([
    [{ conf: 'q.conf' }, {}, 'q'],
    [{ conf: 'no.conf,q.conf' }, {}, 'q'],
    [{ conf: 'q.conf,ceph.conf' }, {}, 'q'],
    [{ conf: 'q.conf', cluster: 'zz' }, {}, 'zz'],
    [{ conf: 'c.foo' }, {}, 'ceph'],
    [{}, { CEPH_CONF: 'q.conf' }, 'q'],
    [{ cluster: 'q' }, {}, 'q'],
  ])('finds the cluster of %j %j', (options, env, cluster) => {
    for (const name of ['ceph.conf', 'q.conf', 'c.foo']) write(name, '\n');
    const conf = new CephConf({ name: parseEntityName('osd.x')!, ...options }, around(env));
    expect(conf.get('keyring')).toBe(`/var/lib/ceph/osd/${cluster}-x/keyring`);
  });

  it('refuses a configuration file that is missing only if it was asked for', () => {
    expect(() => new CephConf(client('client.a'), around())).toThrow('"ceph.conf": none');
    const conf = new CephConf({ name: parseEntityName('client.b')!, cluster: 'none' }, around());
    expect(conf.get('keyring')).toBe(
      '/etc/ceph/none.client.b.keyring,/etc/ceph/none.keyring,' +
        '/etc/ceph/keyring,/etc/ceph/keyring.bin,',
    );
  });

  const find = (options: Partial<ClientOptions>, stdin?: Uint8Array) => {
    const found = findClientKey(
      { ...client('client.a'), ...options },
      { ...around(), ...(stdin ? { stdin } : {}) },
    );
    return [found.key.toBase64(), found.origin];
  };

  it('takes the key of the nearest place', () => {
    write('k', `[client.a]\nkey = ${KEY}\n`);
    write('keyfile', `${OTHER}\n`);
    write('ceph.conf', '[global]\nkeyring = no,,k\n');
    expect(find({})).toEqual([KEY, 'keyring']);
    expect(find({ key: OTHER })).toEqual([OTHER, 'key']);
    expect(find({ keyfile: 'keyfile', key: KEY_2 })).toEqual([OTHER, 'keyfile']);
    expect(find({ keyfile: '-' }, bytes(OTHER))).toEqual([OTHER, 'keyfile']);
    expect(find({ keyfile: 'no' })).toEqual([KEY, 'keyring']);
    write('ceph.conf', '[global]\nkeyring = k\nkeyfile = keyfile\n');
    expect(find({})).toEqual([OTHER, 'keyfile']);
    write('ceph.conf', `[global]\nkeyring = k\nkeyfile = keyfile\nkey = ${KEY_2}\n`);
    expect(find({})).toEqual([KEY_2, 'key']);
  });

  it.each([
    ['no, k', 13, 'unable to find a keyring on no, k: (2) No such file or directory'],
    ['other,k', 13, undefined],
    ['bad', 5, 'error parsing file bad: cannot parse buffer: Malformed input'],
    ['d', 21, 'error reading file: d: bufferlist::read_file(d): read error:(21) Is a directory'],
  ])('says what is wrong with keyring %j', (keyring, errno, words) => {
    write('k', `[client.a]\nkey = ${KEY}\n`);
    write('other', `[client.b]\nkey = ${KEY}\n`);
    write('bad', '[client.a\n');
    write('ceph.conf', '\n');
    fs.mkdirSync(join(cwd, 'd'));
    const error = thrownBy(() => find({ keyring })) as KeyringSearchError;
    expect(error).toBeInstanceOf(KeyringSearchError);
    expect([error.errno, error.words[0]]).toEqual([errno, words]);
  });

  it('quotes a wrong key only in Ceph’s words', () => {
    write('ceph.conf', '\n');
    const error = thrownBy(() => find({ key: 'zzz' })) as KeyringSearchError;
    expect([error.errno, error.words]).toEqual([22, ["failed to decode key 'zzz'"]]);
    expect(error.message).not.toContain('zzz');
  });

  it('replaces files whole, through links, keeping the mode', () => {
    write('k', 'old');
    fs.chmodSync(join(cwd, 'k'), 0o640);
    fs.symlinkSync('k', join(cwd, 'link'));
    replaceFile(join(cwd, 'link'), bytes('new'), 0o600);
    expect(fs.readlinkSync(join(cwd, 'link'))).toBe('k');
    expect(readFileBytes(join(cwd, 'k'))).toEqual(bytes('new'));
    expect(fs.statSync(join(cwd, 'k')).mode & 0o777).toBe(0o640);
    replaceFile(join(cwd, 'fresh'), bytes('x'), 0o600);
    expect(fs.statSync(join(cwd, 'fresh')).mode & 0o777).toBe(0o600);
    const missing = thrownBy(() => replaceFile(join(cwd, 'no/k'), bytes('x'), 0o600));
    expect(errorWords(missing)).toBe('(2) No such file or directory');
    fs.symlinkSync('loop', join(cwd, 'loop'));
    expect(errorWords(thrownBy(() => replaceFile(join(cwd, 'loop'), bytes('x'), 0)))).toContain(
      '40',
    );
    expect(fs.readdirSync(cwd).sort()).toEqual(['fresh', 'k', 'link', 'loop']);
  });
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

function randomKeyring(rng: Rng, texts: readonly string[], types: readonly number[]): KeyRing {
  const keyring = new KeyRing();
  for (let left = 1 + rng.int(4); left > 0; left--) {
    const name = parseEntityName(`${rng.pick(['mon', 'osd', 'client', 'mgr'])}.${rng.int(20)}`)!;
    const type = rng.pick(types);
    const created = { seconds: rng.u32(), nanoseconds: rng.int(1e9) };
    const key = CryptoKey.create(type === 1 ? 'aes' : 'aes256k', created, rng.random);
    const caps = new Map<string, string>();
    for (let more = rng.int(4); more > 0; more--) {
      caps.set(rng.pick(['mon', 'osd', 'mds', 'mgr']), rng.pick(texts));
    }
    keyring.add(name, { key, caps });
  }
  return keyring;
}

/** Another way to write the same keyring. */
function disguised(rng: Rng, text: string): string {
  const end = rng.pick(['\n', '\r\n', '\r', ' # c\n', '\n \n', '\n#\n\n']);
  return text
    .replaceAll('\n', end)
    .replaceAll('\tkey = ', rng.pick(['key=', ' key \t= ', '# c\nkey \\\n= \\\n']))
    .replaceAll('\tcaps ', rng.pick(['caps_', '  caps   ', 'caps\t']));
}

const CAPS_THAT_SURVIVE = [
  'allow *',
  'allow command "auth get" with a=b',
  '',
  "it's",
  'a  b',
  '=[',
];
