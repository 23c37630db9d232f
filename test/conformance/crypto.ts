/**
 * Format crypto-vectors/1: primitives, RFC 8009, sealing, CryptoKey texts (crypto-*.json). The
 * core computes through the engine; the twin through @noble, with its own modes and derivation.
 */

import { cbc, ecb } from '@noble/ciphers/aes.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256, sha384 } from '@noble/hashes/sha2.js';
import * as abi from '../../assembly/abi.ts';
import { challengeHash } from '../../src/cephx/authorizer.ts';
import { CryptoKey, decodeBase64 } from '../../src/cephx/cryptokey.ts';
import { DecodeError, foldWords } from '../../src/cephx/denc.ts';
import { fromHex, toHex } from '../twin/load.ts';
import { deriveKey, twinSealer } from '../twin/sealer.ts';
import { captureOps } from './captures.ts';
import { gcmVector } from './msgr2.ts';
import type { Check, Report } from './report.ts';
import { agree, BY_CEPHX, BY_ENGINE, type Rig } from './rig.ts';

/** A vector; which fields it has depends on `op`. */
export interface Vector {
  readonly id: string;
  readonly op: string;
  readonly [field: string]: unknown;
}

export interface VectorFile {
  readonly vectors: readonly Vector[];
  readonly [field: string]: unknown;
}

/** Compares all that one vector says. */
export type VectorOp = (rig: Rig, check: Check, vector: Vector, file: VectorFile) => void;

export function runVectors(rig: Rig, report: Report, file: VectorFile): void {
  for (const vector of file.vectors) {
    report.case(vector.id, vector, (check) => {
      const op = OPS[vector.op];
      if (op === undefined) check.fail(`the operation "${vector.op}" is not supported`);
      else op(rig, check, vector, file);
    });
  }
}

const OPS: Readonly<Record<string, VectorOp>> = {
  'aes-128-ecb': ecbOp(abi.PRIMITIVE_AES128_ENCRYPT, abi.PRIMITIVE_AES128_DECRYPT),
  'aes-256-ecb': ecbOp(abi.PRIMITIVE_AES256_ENCRYPT, abi.PRIMITIVE_AES256_DECRYPT),
  'aes-128-cbc': cbcOp(abi.PRIMITIVE_AES128_CBC_ENCRYPT, abi.PRIMITIVE_AES128_CBC_DECRYPT),
  'aes-256-cbc': cbcOp(abi.PRIMITIVE_AES256_CBC_ENCRYPT, abi.PRIMITIVE_AES256_CBC_DECRYPT),
  sha256: hashOp(abi.PRIMITIVE_SHA256, 'digest', (_, data) => sha256(data)),
  sha384: hashOp(abi.PRIMITIVE_SHA384, 'digest', (_, data) => sha384(data)),
  'hmac-sha256': hashOp(abi.PRIMITIVE_HMAC_SHA256, 'mac', (key, data) => hmac(sha256, key, data)),
  'hmac-sha384': hashOp(abi.PRIMITIVE_HMAC_SHA384, 'mac', (key, data) => hmac(sha384, key, data)),
  'aes-128-gcm': gcmVector,
  'rfc8009-kdf': kdf,
  'rfc8009-checksum': checksum,
  'cephx-aes': (rig, check, vector) => seal(rig, check, vector, abi.KEY_TYPE_AES),
  aes256k: (rig, check, vector) => seal(rig, check, vector, abi.KEY_TYPE_AES256K),
  'challenge-hash': proof,
  'msgr1-sig-aes-v2': msgr1Signature,
  key: keyText,
  ...captureOps,
};

function ecbOp(encrypt: number, decrypt: number): VectorOp {
  return (rig, check, vector) => {
    const [key, pt, ct] = [hex(vector, 'key'), hex(vector, 'pt'), hex(vector, 'ct')];
    const twin = ecb(key, { disablePadding: true });
    const { engine } = rig;
    const sealed = rig.pair(
      () => engine.primitive(encrypt, key, pt),
      () => twin.encrypt(pt),
    );
    check.same('ct', toHex(sealed), vector.ct as string);
    const opened = rig.pair(
      () => engine.primitive(decrypt, key, ct),
      () => twin.decrypt(ct),
    );
    check.same('pt', toHex(opened), vector.pt as string);
  };
}

function cbcOp(encrypt: number, decrypt: number): VectorOp {
  return (rig, check, vector) => {
    const [key, pt, ct] = [hex(vector, 'key'), hex(vector, 'pt'), hex(vector, 'ct')];
    const iv = hex(vector, 'iv');
    const twin = (): ReturnType<typeof cbc> => cbc(key, iv, { disablePadding: true });
    const { engine } = rig;
    const sealed = rig.pair(
      () => engine.primitive(encrypt, key, pt, iv),
      () => twin().encrypt(pt),
    );
    check.same('ct', toHex(sealed), vector.ct as string);
    const opened = rig.pair(
      () => engine.primitive(decrypt, key, ct, iv),
      () => twin().decrypt(ct),
    );
    check.same('pt', toHex(opened), vector.pt as string);
  };
}

function hashOp(
  op: number,
  result: 'digest' | 'mac',
  twin: (key: Uint8Array, data: Uint8Array) => Uint8Array,
): VectorOp {
  return (rig, check, vector) => {
    const key = vector.key === undefined ? new Uint8Array(0) : hex(vector, 'key');
    const data = hex(vector, 'msg');
    const hash = rig.pair(
      () => rig.engine.primitive(op, key, data),
      () => twin(key, data),
    );
    // RFC 4231 test case 5 shows the first 128 bits only.
    const expected = vector[result] as string;
    const bytes = (vector.truncate as number | undefined) ?? expected.length / 2;
    check.same(result, toHex(hash.subarray(0, bytes)), expected);
  };
}

/** Keys derived by RFC 8009 section 3. `block` is the input of the one HMAC call. */
function kdf(rig: Rig, check: Check, vector: Vector): void {
  const key = keyOf(vector, abi.KEY_TYPE_AES256K);
  const usage = vector.usage as number;
  const which = ({ aa: 'ke', '55': 'ki', '99': 'kc' } as const)[vector.tag as 'aa' | '55' | '99'];
  const tag = Number.parseInt(vector.tag as string, 16);
  const derived = rig.pair(
    () => rig.engine.derive(key.encode(), usage, which),
    () => deriveKey(key.secret, usage, tag, vector.bits as number),
  );
  check.same('expect', toHex(derived), vector.expect as string);
  if (vector.block === undefined) return;
  const block = hex(vector, 'block');
  const op = abi.PRIMITIVE_HMAC_SHA384;
  const long = rig.engine.primitive(op, key.secret, block);
  check.same('block', toHex(long.subarray(0, derived.length)), vector.expect as string);
}

/** RFC 8009 section 6: HMAC-SHA384 with Kc, its first 192 bits. cephx never uses it. */
function checksum(rig: Rig, check: Check, vector: Vector): void {
  const key = keyOf(vector, abi.KEY_TYPE_AES256K);
  const usage = vector.usage as number;
  const message = hex(vector, 'msg');
  const { engine } = rig;
  const mac = rig.pair(
    () => {
      const kc = engine.derive(key.encode(), usage, 'kc');
      return engine.primitive(abi.PRIMITIVE_HMAC_SHA384, kc, message).slice(0, 24);
    },
    () => hmac(sha384, deriveKey(key.secret, usage, 0x99, 192), message).slice(0, 24),
  );
  check.same('mac', toHex(mac), vector.mac as string);
}

/** A whole plaintext sealed and opened, without envelope. */
function seal(rig: Rig, check: Check, vector: Vector, type: number): void {
  const key = keyOf(vector, type);
  const usage = (vector.usage as number | undefined) ?? abi.USAGE_NONE;
  const confounder =
    vector.confounder === undefined ? new Uint8Array(16) : hex(vector, 'confounder');
  const [pt, ct] = [hex(vector, 'pt'), hex(vector, 'ct')];
  const sealed = rig.pair(
    () => rig.core.seal(key, usage, pt, confounder),
    () => twinSealer.seal(key, usage, pt, confounder),
  );
  check.same('ct', toHex(sealed), vector.ct as string);
  const opened = rig.pair(
    () => rig.core.open(key, usage, ct),
    () => twinSealer.open(key, usage, ct),
  );
  check.same('pt', opened && toHex(opened), vector.pt as string);
}

/** The proof of a client's key: by the core's export, by src/cephx with either's ciphers. */
function proof(rig: Rig, check: Check, vector: Vector): void {
  const key = keyOf(vector, vector.key_type as number);
  const challenges = {
    server: BigInt(vector.server as string),
    client: BigInt(vector.client as string),
  };
  const hash = rig.both((sealer) => challengeHash(sealer, key, challenges));
  const core = rig.engine.challengeHash(key.encode(), challenges.server, challenges.client);
  agree('engine and src/cephx', `${core}`, `${hash}`);
  check.same('expect', hash, BigInt(vector.expect as string));
  if (vector.hmac === undefined) return;
  const blob = fromHex(littleEndian(challenges.server) + littleEndian(challenges.client));
  const mac = rig.pair(
    () => rig.core.hmacSha256(key, blob),
    () => twinSealer.hmacSha256(key, blob),
  );
  check.same('hmac', toHex(mac), vector.hmac as string);
}

/** The sealed block, folded. Sessions of recorded files go through `engine.sign` as well. */
function msgr1Signature(rig: Rig, check: Check, vector: Vector): void {
  const key = keyOf(vector, abi.KEY_TYPE_AES);
  const block = hex(vector, 'block');
  const sig = rig.both((sealer) =>
    foldWords(sealer.seal(key, abi.USAGE_NONE, block, new Uint8Array(16))),
  );
  check.same('expect', sig, BigInt(vector.expect as string));
}

/** The keyring form of a CryptoKey. The core takes the bytes as a service secret, or refuses. */
function keyText(rig: Rig, check: Check, vector: Vector): void {
  rig.used.add(BY_CEPHX).add(BY_ENGINE);
  const text = vector.b64 as string;
  let key: CryptoKey | undefined;
  let failure: string | undefined;
  try {
    key = CryptoKey.fromBase64(text);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    failure = error.code;
  }
  check.same('verdict', key === undefined ? 'reject' : 'accept', vector.verdict as string);
  if (failure !== 'base64') agree('core and src/cephx', ...coreTakes(rig, text, key));
  if (vector.check !== undefined) check.same('check', failure, vector.check as string);
  if (key === undefined) return;
  const { type, created } = key;
  const fields = {
    type,
    created_sec: created.seconds,
    created_nsec: created.nanoseconds,
    secret: toHex(key.secret),
    reencodes_to: key.toBase64(),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (vector[name] !== undefined) check.same(name, value, vector[name] as string | number);
  }
}

/** What the core and src/cephx say of the same bytes, as texts. */
function coreTakes(rig: Rig, text: string, key: CryptoKey | undefined): [string, string] {
  const service = abi.ENTITY_TYPE_OSD;
  let taken = true;
  try {
    rig.engine.putSecret({ service, secretId: 1n, key: decodeBase64(text) });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    taken = false;
  }
  rig.engine.removeSecret(service, 1n);
  return [`taken: ${taken}`, `taken: ${key !== undefined}`];
}

function keyOf(vector: Vector, type: number): CryptoKey {
  return new CryptoKey(type, { seconds: 0, nanoseconds: 0 }, hex(vector, 'key'));
}

function hex(vector: Vector, field: string): Uint8Array {
  return fromHex(vector[field] as string);
}

function littleEndian(value: bigint): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return toHex(bytes);
}
