/** Vectors apart from single records: pairs of records, broken ones, and the work block. */

import * as abi from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode } from '../../src/cephx/denc.ts';
import {
  type Engine,
  type HostContext,
  RecordWriter,
  type SealForm,
  Verdict,
  type VerifyRequest,
} from '../../src/engine/index.ts';
import { engineRequest } from '../caps-engine.ts';
import { mdsRequest, osdRequest } from '../caps-texts.ts';
import type { Rng } from '../rng.ts';
import type { Sink } from './sink.ts';

/**
 * An authorizer with an operation, a check whose names are too long, and a record broken at a
 * random place, in one call.
 */
export function askRaw(
  engine: Engine,
  rng: Rng,
  shown: VerifyRequest,
  host: HostContext,
  sink: Sink,
): void {
  const bytes = new Uint8Array(262_144);
  const writer = new RecordWriter(bytes);
  const { service } = shown;
  const { op } = engineRequest(service === abi.ENTITY_TYPE_MDS ? mdsRequest(rng) : osdRequest(rng));
  writer.decide({ ...shown, op, explain: rng.chance(0.5) }, 1);
  const pool = 'p'.repeat(abi.NAME_LEN_MAX + rng.int(2));
  writer.check({ service: abi.ENTITY_TYPE_OSD, handle: 0n, op: { pool } }, 2);
  const begin = writer.at;
  writer.check({ ...engineRequest(osdRequest(rng)), service: 4, handle: rng.u64() }, 3);
  const at = begin + 4 + rng.int(Math.min(writer.at - begin, abi.OSD_LEN) - 4);
  bytes[at] = (bytes[at] as number) ^ (1 << rng.int(8));
  // A record that is cut short ends the call.
  const end = writer.at - (rng.chance(0.2) ? rng.int(40) : 0);
  const granted = abi.FLAG_TAIL | abi.FLAG_KEEP | (rng.chance(0.5) ? abi.FLAG_REPLY : 0);
  const response = engine.run(bytes.slice(0, end), host, [shown.challenge], granted);
  const view = new DataView(response.slice().buffer);
  const verdicts: Verdict[] = [];
  for (let to = 0; to < view.byteLength; to += view.getUint32(to, true)) {
    verdicts.push(new Verdict(view, to));
  }
  sink.verdicts(verdicts);
}

/** Sealing, derivation, proofs and primitives. */
export function askCommon(engine: Engine, rng: Rng, sink: Sink): void {
  const type = rng.pick([abi.KEY_TYPE_AES, abi.KEY_TYPE_AES256K]);
  const secret = rng.bytes(type === abi.KEY_TYPE_AES ? 16 : 32);
  const key = encode(
    CryptoKey.encode,
    new CryptoKey(type, { seconds: rng.u32(), nanoseconds: 0 }, secret),
  );
  const usage = rng.pick([abi.USAGE_AUTHORIZE, abi.USAGE_TICKET_INFO, abi.USAGE_TICKET_BLOB]);
  const form: SealForm = {
    envelope: rng.chance(0.5),
    prefixed: rng.chance(0.5),
    confounder: rng.bytes(16),
  };
  const sealed = engine.seal(key, usage, rng.bytes(1 + rng.int(300)), form);
  sink.bytes(sealed);
  if (rng.chance(0.3)) sealed[rng.int(sealed.length)] = rng.int(256);
  const opened = engine.open(key, usage, sealed, form);
  if (opened !== undefined) sink.bytes(opened);
  sink.number(engine.challengeHash(key, rng.u64(), rng.u64()));
  if (type === abi.KEY_TYPE_AES256K) {
    sink.bytes(engine.derive(key, usage, rng.pick(['ke', 'ki', 'kc'] as const)));
  }
  const op = rng.pick([abi.PRIMITIVE_SHA256, abi.PRIMITIVE_SHA384, abi.PRIMITIVE_HMAC_SHA384]);
  sink.bytes(engine.primitive(op, rng.bytes(32), rng.bytes(rng.int(300))));
}
