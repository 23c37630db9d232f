/**
 * One sha256 over all verdicts, secret blocks and printed caps of a seeded run: every build of the
 * core on every runtime must print the same. Usage: hash.ts [simd|plain|relaxed] [COUNT]
 */

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import * as abi from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode } from '../../src/cephx/denc.ts';
import {
  type Build,
  Engine,
  type OsdOp,
  type Policy,
  type Verdict,
} from '../../src/engine/index.ts';
import { bytesOf, mdsText, osdText } from '../caps-texts.ts';
import { makeInput, makePolicy, makeSecrets } from '../fuzz/corpus.ts';
import { Rng } from '../rng.ts';

const SEED = 20261124;
const COUNT = 4000;

/** The hash of `count` authorizers, as many checks, and twice as many caps texts on one build. */
export async function hashOf(build: Build, count: number = COUNT): Promise<string> {
  const rng = new Rng(SEED);
  const pool = new Rng(SEED + 1);
  const engine = await Engine.create({
    build,
    preset: 'server',
    random: (into) => into.set(pool.bytes(into.length)),
  });
  const hash = sha256.create();
  const secrets = makeSecrets(rng);
  for (const { service, secretId, key, expiresNs } of secrets) {
    engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key), expiresNs });
  }
  const policies = Array.from({ length: 20 }, () => makePolicy(rng));
  const ours = policies.map(({ allowedTypes: _, ...rest }): Partial<Policy> => rest);
  for (let i = 0; i < count; i++) {
    const input = makeInput(rng, secrets, policies);
    const policy = ours[policies.indexOf(input.policy)] as Partial<Policy>;
    const host = { nowNs: input.nowNs, policy };
    const challenge =
      input.challenge.mode === 'required' ? { ...input.challenge, value: 99n } : input.challenge;
    const verdict = engine.verify(
      {
        service: input.service,
        authorizer: input.bytes,
        challenge,
        reply: rng.chance(0.7),
        secure: rng.chance(0.5),
        session: true,
        secrets: rng.chance(0.5),
        peer: { family: 4, bytes: Uint8Array.of(10, 0, 0, rng.int(4)) },
      },
      host,
    );
    update(hash, verdict);
    if (verdict.handle === 0n || input.service !== abi.ENTITY_TYPE_OSD) continue;
    const { service } = input;
    const op = makeOp(rng);
    update(hash, engine.check({ service, handle: verdict.handle, op, explain: true }, host));
    update(hash, engine.sign(service, verdict.handle, 'msgr2-auth', rng.bytes(40), host));
    update(hash, engine.sign(service, verdict.handle, 'msgr1', rng.bytes(32), host));
    update(hash, engine.capsParse(service, verdict.caps, host));
    engine.sessionRelease(verdict.handle);
  }
  for (let i = 0; i < count; i++) {
    const host = { nowNs: 0n, policy: policyOf(i) };
    update(hash, engine.capsParse(abi.ENTITY_TYPE_OSD, bytesOf(osdText(rng)), host));
    update(hash, engine.capsParse(abi.ENTITY_TYPE_MDS, bytesOf(mdsText(rng)), host));
  }
  return bytesToHex(hash.digest());
}

const RELEASES: readonly Partial<Policy>[] = [{ release: 16 }, { release: 20 }];

function policyOf(i: number): Partial<Policy> {
  return RELEASES[i & 1] as Partial<Policy>;
}

function makeOp(rng: Rng): OsdOp {
  const allowListed = rng.chance(0.5);
  return {
    pool: rng.pick(['liverpool', 'a', 'd', 'rbd']),
    namespace: rng.pick(['', 'b']),
    object: rng.pick(['c1', 'rbd_header.1', 'x']),
    read: rng.chance(0.5),
    write: rng.chance(0.3),
    classes: rng.chance(0.3)
      ? [{ name: 'rbd', method: 'metadata_list', read: true, write: false, allowListed }]
      : [],
  };
}

function update(hash: { update(bytes: Uint8Array): unknown }, verdict: Verdict): void {
  hash.update(verdict.bytes);
  if (verdict.secrets === undefined) return;
  hash.update(verdict.secrets.sessionKey);
  hash.update(verdict.secrets.connectionSecret ?? new Uint8Array(0));
}

const script = globalThis.process?.argv[1] ?? '';
if (/hash\.[jt]s$/.test(script)) {
  const [, , build = 'simd', count] = process.argv;
  console.log(await hashOf(build as Build, count === undefined ? COUNT : Number(count)));
}
