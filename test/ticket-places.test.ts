/**
 * The fields of a ticket lie where the lengths before them say: at every place among blocks of 16
 * bytes, in tickets below and above the length from which they are found in another way.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { type Build, Engine } from '../src/engine/index.ts';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(208);
const rng = new Rng(seed);
const random = (n: number): Uint8Array => rng.bytes(n);
const TYPES = ['aes', 'aes256k'] as const;
const OSD = abi.ENTITY_TYPE_OSD;
const challenge = { mode: 'off' } as const;
const HOST = { nowNs: NOW_NS, policy: { plausibility: 'strict' } } as const;
/** Lengths of an entity's id and of its caps, null for none. */
const ID_LENGTHS = [...Array.from({ length: 34 }, (_, i) => i + 1), 63, 64, 65, 150, 190, 300];
const CAPS_LENGTHS = [null, ...Array.from({ length: 36 }, (_, i) => i + 7), 100, 120, 170, 1000];

describe.each<Build>(['simd', 'plain'])(`the %s build, seed ${seed}`, (build) => {
  let engine: Engine;
  const secrets = TYPES.map((type) => makeSecret(type, random));

  beforeAll(async () => {
    engine = await Engine.create({ build, preset: 'small' });
    for (const [i, { encoded }] of secrets.entries()) {
      engine.putSecret({ service: OSD, secretId: BigInt(i + 2), key: encoded });
    }
  });

  it.each(TYPES.flatMap((type) => TYPES.map((sessionType) => ({ type, sessionType }))))(
    'finds what $type tickets with $sessionType keys hold',
    ({ type, sessionType }) => {
      const which = TYPES.indexOf(type);
      for (const idLength of ID_LENGTHS) {
        for (const capsLength of CAPS_LENGTHS) {
          const id = 'j'.repeat(idLength);
          const caps = capsLength === null ? null : 'allow r'.padEnd(capsLength, ' ');
          const globalId = rng.u64();
          const options = {
            entity: `client.${id}`,
            caps,
            globalId,
            sessionType,
            secretId: BigInt(which + 2),
          };
          const ticket = makeTicket(secrets[which]!.key, random, options);
          const authorizer = ticket.authorizer();
          const verdict = engine.verify({ service: OSD, authorizer, challenge, tail: true }, HOST);
          const where = `id of ${idLength}, caps of ${capsLength} bytes`;
          expect(verdict.check, where).toBe('ok');
          expect(verdict.globalId, where).toBe(globalId);
          expect(verdict.entityId, where).toBe(id);
          expect(verdict.caps, where).toBe(caps ?? '');
        }
      }
    },
  );
});
