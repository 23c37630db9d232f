/**
 * The work items: authorizers in the true layout, one ticket and one session key each, and the
 * operation that is asked for. A quarter each is allowed by the first grant, allowed by the second,
 * refused by object prefix, refused by address. Odd items are for comparing verdicts only.
 */

import { Buffer } from 'node:buffer';
import { ENTITY_TYPE_OSD } from '../assembly/abi.ts';
import type { CryptoKey } from '../src/cephx/cryptokey.ts';
import type { Address, Challenge } from '../src/engine/index.ts';
import {
  HOUR_NS,
  makeSecret,
  makeTicket,
  NOW_NS,
  type TicketOptions,
} from '../test/authorizers.ts';
import { Rng } from '../test/rng.ts';

export type KeyTypeOfBench = 'aes' | 'aes256k';

/** One operation on objects of a pool. */
export interface Op {
  readonly pool: string;
  readonly namespace: string;
  readonly object: string;
  readonly read: boolean;
  readonly write: boolean;
}

export interface Item {
  /** CephXAuthorizer that answers `challenge`. */
  readonly authorizer: Buffer;
  /** The one sent before it, which answers none. */
  readonly first: Buffer;
  readonly challenge: Extract<Challenge, { mode: 'issued' }>;
  readonly peer: Address;
  readonly op: Op;
  /** What the ticket carries, for rivals that seal replies with it. */
  readonly sessionKey: CryptoKey;
}

/** A service secret as a service keeps it. */
export interface Secret {
  readonly secretId: bigint;
  readonly key: CryptoKey;
  readonly encoded: Uint8Array;
}

export interface Corpus {
  readonly type: KeyTypeOfBench;
  readonly secrets: readonly Secret[];
  /** What is measured. */
  readonly items: readonly Item[];
  /** The same with caps that each ticket spells in its own way. */
  readonly distinct: readonly Item[];
  /** What is compared besides: altered, expired, revoked by caps, cut short. */
  readonly odd: readonly Item[];
}

export const SERVICE: number = ENTITY_TYPE_OSD;
export { NOW_NS };

/** Caps of every measured ticket. */
export const CAPS: string =
  'allow rw pool=liverpool namespace=ns1 object_prefix rbd_data, ' +
  'allow r pool=other network 10.0.0.0/8';

/** `count` items of one key type and the odd ones; the same seed gives the same bytes. */
export function makeCorpus(type: KeyTypeOfBench, count: number, seed: number): Corpus {
  const rng = new Rng(seed);
  const ids = type === 'aes' ? [1n, 2n, 3n] : [11n, 12n, 13n];
  const secrets = ids.map((secretId) => ({ secretId, ...makeSecret(type, rng.random) }));
  const current = secrets[1] as Secret;
  const make = (i: number, options: TicketOptions): Item => {
    const ticket = makeTicket(current.key, rng.random, {
      ...{ caps: CAPS, globalId: BigInt(4000 + i), sessionType: type, secretId: current.secretId },
      ...options,
    });
    const value = rng.u64();
    const { op, peer } = request(i);
    return {
      authorizer: Buffer.from(ticket.authorizer(value)),
      first: Buffer.from(ticket.authorizer()),
      challenge: { mode: 'issued', value },
      sessionKey: ticket.sessionKey,
      peer,
      op,
    };
  };
  const items = Array.from({ length: count }, (_, i) => make(i, {}));
  // The network is masked: all of these caps say the same.
  const distinct = Array.from({ length: count + count / 2 }, (_, i) =>
    make(i, { caps: CAPS.replace('10.0.0.0', `10.${i >> 8}.${i & 255}.0`) }),
  );
  return {
    type,
    secrets,
    items,
    distinct,
    odd: [...oddItems(items, make), ...flipped(items, rng)],
  };
}

/** Caps of `n` grants of which only the last covers `MATCH_OP`. */
export function capsOf(n: number): string {
  const others = Array.from(
    { length: n - 1 },
    (_, i) => `allow rw pool=pool-${i} namespace=ns${i % 7} object_prefix rbd_data.${i}`,
  );
  return [...others, 'allow rw pool=liverpool namespace=ns1 object_prefix rbd_data'].join(', ');
}

/** All of one shape, as a caller's are that makes them in one place, and all texts in one piece. */
function opOf(pool: string, namespace: string, name: string, write: boolean): Op {
  const object = Buffer.from(name).toString('latin1');
  return { pool, namespace, object, read: true, write };
}

export const MATCH_OP: Op = opOf('liverpool', 'ns1', 'rbd_data.1f3a.000000000000002a', true);

function request(i: number): Pick<Item, 'op' | 'peer'> {
  const inside = i % 4 === 1 || i % 4 === 2;
  const bytes = inside ? [10, 1, i & 255, 7] : [192, 0, 2, i & 255];
  const peer: Address = { family: 4, bytes: Uint8Array.from(bytes) };
  const name = i % 4 === 0 ? `rbd_data.1f3a.${i}` : `rbd_header.${i}`;
  const op =
    i % 2 === 0
      ? opOf(MATCH_OP.pool, MATCH_OP.namespace, name, true)
      : opOf('other', '', `journal.${i}`, false);
  return { op, peer };
}

/** Items that break one rule each. */
function oddItems(
  items: readonly Item[],
  make: (i: number, options: TicketOptions) => Item,
): Item[] {
  const good = items[0] as Item;
  const wrong = { mode: 'issued', value: good.challenge.value ^ 1n } as const;
  const options: TicketOptions[] = [
    { createdNs: NOW_NS - 3n * HOUR_NS },
    { createdNs: NOW_NS + HOUR_NS },
    { validNs: -HOUR_NS },
    { allowAll: true },
    { caps: null },
    { caps: '' },
    { caps: 'allow' },
    { caps: 'allow *' },
    { caps: 'allow r' },
    { secretId: 99n },
    { service: 2 },
    { sessionType: 'aes' },
    { sessionType: 'aes256k' },
  ];
  const cuts = Array.from({ length: 40 }, (_, i) =>
    good.authorizer.subarray(0, (i * good.authorizer.length) / 40),
  );
  return [
    ...options.map((each, i) => make(i * 4, each)),
    { ...good, challenge: wrong },
    { ...good, authorizer: good.first },
    ...cuts.map((authorizer) => ({ ...good, authorizer })),
  ];
}

/** One item per bit of randomness: a byte of the authorizer altered, wherever it may be. */
function flipped(items: readonly Item[], rng: Rng): Item[] {
  return Array.from({ length: FLIPPED }, () => {
    const item = rng.pick(items);
    const authorizer = Buffer.from(item.authorizer);
    const at = rng.int(authorizer.length);
    authorizer[at] = authorizer[at]! ^ (1 << rng.int(8));
    return { ...item, authorizer };
  });
}

const FLIPPED = 1000;
