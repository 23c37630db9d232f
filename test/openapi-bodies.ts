/** Random bodies for the routes with JSON: good ones, and good ones with something changed. */

import type { Rng } from './rng.ts';

type Json = Record<string, unknown>;

export class Bodies {
  readonly #rng: Rng;
  readonly #authorizer: string;
  readonly #session: string;

  constructor(rng: Rng, authorizer: string, session: string) {
    this.#rng = rng;
    this.#authorizer = authorizer;
    this.#session = session;
  }

  /** A body for a route; about half of them have up to three changes somewhere in them. */
  next(path: string): unknown {
    let body: unknown = this.#good(path);
    if (this.#rng.chance(0.5)) {
      for (let n = 1 + this.#rng.int(3); n > 0; n--) body = this.#changed(body);
    }
    return body;
  }

  /** A good body with each of its fields, however deep, given each of the odd values in turn. */
  *everyOdd(path: string): Generator<unknown> {
    const good = this.#good(path);
    for (const at of leavesOf(good)) for (const odd of ODD) yield replaced(good, at, odd);
  }

  #good(path: string): Json {
    switch (path) {
      case '/v1/verify':
        return this.#verify();
      case '/v1/check':
        return this.#check();
      case '/v1/checks':
        return this.#checks();
      default:
        return this.#sign(path === '/v1/sign/verify');
    }
  }

  #verify(): Json {
    const way = this.#rng.pick<Json>([
      {},
      { expected_challenge: this.#rng.u64().toString() },
      { challenge_state: 'x'.repeat(1 + this.#rng.int(512)) },
      { receipt: 'y' },
      { allow_unchallenged_verdict: true },
    ]);
    return {
      service: this.#rng.pick(['osd', 'mds', 'mgr']),
      authorizer: this.#rng.chance(0.3) ? this.#base64(90) : this.#authorizer,
      ...this.#some({ peer: this.#peer(), connection: this.#text(16), secure: this.#flag() }),
      ...way,
    };
  }

  #check(): Json {
    const service = this.#rng.pick(['osd', 'mds', 'mgr', 'mon']);
    return {
      service,
      ...this.#subject(service),
      ...this.#some({ peer: this.#peer() }),
      op: this.#op(service),
    };
  }

  #checks(): Json {
    const service = this.#rng.pick(['osd', 'mds']);
    const items = Array.from({ length: this.#rng.int(4) }, () => ({
      ...this.#subject(service),
      op: this.#op(service),
    }));
    return { service, items, ...this.#some({ defaults: { peer: this.#peer() } }) };
  }

  #subject(service: string): Json {
    const subjects = [{ caps: 'allow r' }, { entity: 'client.x' }];
    const withSessions = service === 'osd' || service === 'mds';
    return this.#rng.pick<Json>(
      withSessions ? [{ session: this.#session }, ...subjects] : subjects,
    );
  }

  #op(service: string): Json {
    if (service === 'osd') {
      const call = { name: this.#text(9), method: this.#text(9), ...this.#some({ read: true }) };
      return {
        pool: this.#text(20),
        ...this.#some({ namespace: this.#text(9), object: this.#text(30), read: this.#flag() }),
        ...this.#some({ write: this.#flag(), classes: [call], app_metadata: { rbd: { k: 'v' } } }),
      };
    }
    if (service === 'mds') {
      const ids = Object.fromEntries(MDS_NUMBERS.map((name) => [name, this.#rng.int(2 ** 32)]));
      const gids = this.#rng.pick([null, [], [1, 2, 3]]);
      return { path: 'a/b', ...ids, ...this.#some({ caller_gid_list: gids, new_uid: 1, fs: 'c' }) };
    }
    return {
      ...this.#some({ entity: 'client.x', service: 'osd', command: 'osd dump', args: { a: 'b' } }),
      ...this.#some({ read: this.#flag(), write: this.#flag(), exec: this.#flag() }),
      ...(service === 'mgr' && this.#some({ module: 'status' })),
    };
  }

  #sign(verify: boolean): Json {
    const scheme = this.#rng.pick(['msgr1-legacy', 'msgr1', 'msgr2-auth']);
    const numbers = Object.fromEntries(BLOCK.map((name) => [name, this.#rng.u32()]));
    const seq = this.#rng.pick<unknown>([this.#rng.int(2 ** 40), this.#rng.u64().toString()]);
    const block = scheme === 'msgr2-auth' ? { bytes: this.#base64(40) } : { ...numbers, seq };
    const signature = verify ? { signature: this.#base64(1 + this.#rng.int(60)) } : {};
    return { session: this.#session, scheme, block, ...signature };
  }

  /** The value with one thing in it taken out, put in, renamed or replaced. */
  #changed(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || this.#rng.chance(0.1)) return this.#odd();
    if (Array.isArray(value)) {
      if (value.length === 0) return this.#rng.chance(0.5) ? [this.#odd()] : this.#odd();
      const at = this.#rng.int(value.length);
      return value.map((each, index) => (index === at ? this.#changed(each) : each));
    }
    const names = Object.keys(value);
    const name = names.length === 0 ? 'x' : this.#rng.pick(names);
    const { [name]: held, ...rest } = value as Json;
    switch (this.#rng.int(8)) {
      case 0:
        return rest;
      case 1:
        return { ...value, [this.#rng.pick(NAMES)]: this.#odd() };
      case 2:
        return { ...rest, [`${name}_`]: held };
      default:
        return { ...value, [name]: this.#changed(held) };
    }
  }

  #odd(): unknown {
    return this.#rng.pick(ODD);
  }

  #some(fields: Json): Json {
    return Object.fromEntries(Object.entries(fields).filter(() => this.#rng.chance(0.5)));
  }

  #flag(): boolean {
    return this.#rng.chance(0.5);
  }

  #peer(): string {
    return this.#rng.pick(['192.0.2.7', '::1', '2001:db8::192.0.2.1', '::ffff:10.0.0.1']);
  }

  #text(max: number): string {
    const letters = Array.from({ length: 1 + this.#rng.int(max) }, () => this.#rng.pick(LETTERS));
    return letters.join('');
  }

  #base64(length: number): string {
    return Buffer.from(this.#rng.bytes(length)).toString('base64');
  }
}

function leavesOf(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [[]];
  const inside = Object.entries(value).flatMap(([name, held]) =>
    leavesOf(held).map((at) => [name, ...at]),
  );
  return [[], ...inside];
}

function replaced(value: unknown, at: readonly string[], by: unknown): unknown {
  const [name, ...rest] = at;
  if (name === undefined) return by;
  const copy = Array.isArray(value) ? [...value] : { ...(value as Json) };
  const fields = copy as Json;
  fields[name] = replaced(fields[name], rest, by);
  return copy;
}

const MDS_NUMBERS = [
  ...['inode_uid', 'inode_gid', 'inode_mode', 'caller_uid', 'caller_gid', 'mask'],
];
const BLOCK = [
  ...['header_crc', 'front_crc', 'front_len', 'middle_crc', 'middle_len', 'data_crc', 'data_len'],
];
const NAMES = [
  ...['service', 'session', 'entity', 'caps', 'peer', 'op', 'pool', 'module', 'items', 'block'],
  ...['seq', 'bytes', 'signature', 'secure', 'path', 'mask', 'fs', 'reed', '__proto__', ''],
];
const LETTERS = ['a', 'Z', '0', '-', '/', 'é', '語', '😀', ' ', '"'];
/** Values at and beyond every limit that the fields know. */
const ODD: readonly unknown[] = [
  ...[null, true, false, 0, -1, -0, 1, 1.5, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300],
  ...['', '0', '00', '1', '-1', '18446744073709551615', '18446744073709551616', '9'.repeat(20)],
  ...['184467440737095516150', '0x1', ' 1', 'AA==', 'AB==', 'AAA=', 'AAB=', 'AA=', 'AAAA', 'A_A='],
  ...['osd', 'mds', 'mgr', 'mon', 'auth', 'OSD', 'msgr1', 'msgr2-auth', 'x'.repeat(64)],
  ...['x'.repeat(65), 'é'.repeat(32), 'é'.repeat(33), 'x'.repeat(512), 'x'.repeat(513)],
  ...['x'.repeat(128), 'x'.repeat(129), 'x'.repeat(256), 'x'.repeat(257), 'A'.repeat(88)],
  ...['\ud800', 'a\udc00b', '😀', '1.2.3.4', '1.2.3.4:5', '01.2.3.4', '256.1.1.1', '::', ':::'],
  ...['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:8', '::1%lo', '[::1]', '::1.2.3.4', '1::2::3'],
  ...[
    [],
    [1],
    [null],
    [0, 4294967295, 4294967296],
    new Array(65).fill(0),
    new Array(65_537).fill(0),
  ],
  ...[{}, { a: 'b' }, { a: { b: 'c' } }, { '\ud800': 'x' }, { bytes: '' }, { pool: 'p' }],
  ...[{ name: 'n', method: 'm' }, [{ name: 'n', method: 'm' }]],
];
