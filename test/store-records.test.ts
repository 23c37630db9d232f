/** Stored values: round trips, golden bytes, damage, and versions to come. */

import { describe, expect, it } from 'vitest';
import {
  CIPHERS,
  ENTITIES,
  type EntityRecord,
  GLOBAL_ID,
  REVOCATIONS,
  type RecordKind,
  type RevocationId,
  ROTATING,
} from '../src/store/records.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes, text } from './store-contract.ts';

const rng = new Rng(seedOf(7));
const entity: EntityRecord = {
  key: rng.bytes(28),
  pendingKey: rng.bytes(44),
  caps: new Map([
    ['osd', 'allow rw pool=liverpool'],
    ['mon', 'allow r'],
    ['mgr', ''],
  ]),
};

/** One of each kind, written by the first version of this program. */
const SAMPLES: readonly [string, RecordKind<never, never>, unknown][] = [
  ['entity', ENTITIES as never, entity],
  ['entity without caps', ENTITIES as never, { ...entity, pendingKey: undefined, caps: new Map() }],
  [
    'rotating',
    ROTATING as never,
    {
      secretIdMax: 2n ** 64n - 1n,
      secrets: [1n, 2n, 3n].map((secretId) => ({
        secretId,
        key: rng.bytes(28),
        expiresNs: 1_700_000_000_000_000_000n + secretId,
      })),
    },
  ],
  ['global_id', GLOBAL_ID as never, { globalIdMax: 4153n }],
  [
    'ciphers',
    CIPHERS as never,
    { allowed: ['aes', 'aes256k'], preferred: 'aes256k', service: 'aes256k' },
  ],
  ['revocation', REVOCATIONS as never, { timeNs: 5n, createdNs: 6n, comment: 'lost läptop' }],
];

describe('records', () => {
  it.each(SAMPLES)('come back as they went in: %s', (_, kind, record) => {
    expect(kind.decode(kind.encode(record as never))).toEqual(record);
  });

  it('keep the order of the services', () => {
    const again = ENTITIES.decode(ENTITIES.encode(entity));
    expect([...again.caps.keys()]).toEqual(['osd', 'mon', 'mgr']);
  });

  it('are these bytes', () => {
    const record: EntityRecord = {
      key: new Uint8Array([0xaa, 0xbb]),
      pendingKey: new Uint8Array([0xcc]),
      caps: new Map([['mon', 'r']]),
    };
    expect(Buffer.from(ENTITIES.encode(record)).toString('hex')).toBe(
      '0102000000aabb0100000001000000cc01000000030000006d6f6e0100000072',
    );
    expect(Buffer.from(GLOBAL_ID.encode({ globalIdMax: 258n })).toString('hex')).toBe(
      '010201000000000000',
    );
  });

  it.each(SAMPLES)('refuse every version they do not know: %s', (_, kind, record) => {
    const value = kind.encode(record as never);
    for (const version of [0, 2, 255]) {
      const other = value.map((byte, i) => (i === 0 ? version : byte));
      const error = thrown(() => kind.decode(other));
      expect(error).toMatchObject({ code: 'store.version' });
      expect(String(error)).toContain(`version ${version}, this program knows 1`);
    }
  });

  it.each(SAMPLES)('refuse to be cut short or to go on: %s', (_, kind, record) => {
    const value = kind.encode(record as never);
    for (let n = 0; n < value.length; n++) {
      const error = thrown(() => kind.decode(value.slice(0, n)));
      expect(error, `${n} bytes`).toMatchObject({ code: 'store.content' });
    }
    const longer = Uint8Array.from([...value, 0]);
    expect(thrown(() => kind.decode(longer))).toMatchObject({ code: 'store.content' });
  });

  it.each(SAMPLES)('take any damage as a value or an error of their own: %s', (_, kind, record) => {
    const value = kind.encode(record as never);
    for (let i = 0; i < 500; i++) {
      const damaged = new Uint8Array(value);
      damaged[rng.int(damaged.length)] = rng.u32() & 0xff;
      const error = thrown(() => kind.decode(damaged));
      if (error !== undefined) {
        expect(['store.content', 'store.version']).toContain((error as { code?: string }).code);
      }
    }
  });

  it('do not take text that would come back changed', () => {
    const caps = new Map([['mon', 'allow \ud800']]);
    expect(() => ENTITIES.encode({ ...entity, caps })).toThrow(RangeError);
  });
});

describe('keys of records', () => {
  it('name what they are about', () => {
    expect(text(ENTITIES.key('client.admin'))).toBe('entity/client.admin');
    expect(text(ROTATING.key('osd'))).toBe('rotating/osd');
    expect(text(GLOBAL_ID.key(undefined))).toBe('global_id');
  });

  it('give their id back', () => {
    expect(ENTITIES.id(ENTITIES.key('client.a/b'))).toBe('client.a/b');
    const targets: RevocationId['target'][] = [
      { kind: 'entity', entity: 'client.a/b\nc' },
      { kind: 'global_id', globalId: 2n ** 64n - 1n },
      { kind: 'service', service: 'osd' },
      { kind: 'all' },
    ];
    for (const target of targets) {
      const id = { kind: 'not_before', target } as const;
      expect(REVOCATIONS.id(REVOCATIONS.key(id))).toEqual(id);
    }
  });

  it.each(['', 'deny', 'deny/all/x', 'deny/entity/', 'later/all/', 'deny/global_id/x'])(
    'refuse what is no revocation: "%s"',
    (rest) => {
      const error = thrown(() => REVOCATIONS.id(bytes(`revocation/${rest}`)));
      expect(error).toMatchObject({ code: 'store.content' });
    },
  );

  it('do not begin with each other', () => {
    const kinds = [ENTITIES, ROTATING, GLOBAL_ID, CIPHERS, REVOCATIONS];
    const prefixes = kinds.map((kind) => text(kind.prefix));
    for (const a of prefixes) {
      expect(prefixes.filter((b) => b.startsWith(a))).toEqual([a]);
    }
  });
});

function thrown(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}
