/**
 * Session keys longer than any that Ceph makes: taken up to the longest that a key may be, refused
 * behind it, and written nowhere but where they belong.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { buildAuthorizer } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { capsBuffer } from '../src/cephx/protocol.ts';
import { sealServiceTicket } from '../src/cephx/ticket.ts';
import { type Build, Engine, type Verdict } from '../src/engine/index.ts';
import { HOUR_NS, makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

const rng = new Rng(seedOf(128));
const random = (n: number): Uint8Array => rng.bytes(n);
const secret = makeSecret('aes', random);

/** An authorizer whose ticket holds a session key of type aes256k of `len` bytes. */
function withKeyOf(len: number): Uint8Array {
  const created = utimeFromNs(NOW_NS);
  const sessionKey = new CryptoKey(abi.KEY_TYPE_AES256K, created, rng.bytes(len));
  const ticket = {
    ...{ name: { type: 8, id: 'john' }, globalId: 4153n, auid: 0xffffffffffffffffn, flags: 0 },
    ...{ created, expires: utimeFromNs(NOW_NS + HOUR_NS) },
    caps: { allowAll: false, caps: capsBuffer('allow r') },
  };
  const blob = sealServiceTicket(twinSealer, secret.key, 2n, { ticket, sessionKey }, random);
  const owner = { globalId: 4153n, serviceId: abi.ENTITY_TYPE_OSD, sessionKey, blob };
  return buildAuthorizer(twinSealer, owner, rng.u64(), random);
}

describe.each<Build>(['simd', 'plain'])('the %s build', (build) => {
  let engine: Engine;
  const verify = (authorizer: Uint8Array): Verdict =>
    engine.verify(
      { service: abi.ENTITY_TYPE_OSD, authorizer, challenge: { mode: 'off' } },
      { nowNs: NOW_NS, policy: { plausibility: 'strict' } },
    );

  beforeAll(async () => {
    engine = await Engine.create({ build, preset: 'small' });
    engine.putSecret({ service: abi.ENTITY_TYPE_OSD, secretId: 2n, key: secret.encoded });
  });

  it.each([32, 33, 47, 48, 127, 128])('takes a session key of %i bytes', (len) => {
    const verdict = verify(withKeyOf(len));
    expect(verdict.check).toBe('ok');
    expect(verdict.decision).toBe(true);
  });

  it.each([129, 144, 1000, 20000])('refuses one of %i bytes, and nothing is harmed', (len) => {
    const good = makeTicket(secret.key, random, { sessionType: 'aes256k' }).authorizer();
    const before = verify(good);
    expect(before.decision).toBe(true);
    const verdict = verify(withKeyOf(len));
    expect(verdict.reason).toBe('authorizer.invalid');
    expect(verdict.check).toBe('key.length');
    expect(verify(good)).toEqual(before);
  });
});
