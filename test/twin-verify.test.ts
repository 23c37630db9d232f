/**
 * The plain `verify` of test/twin: each rule broken alone gives its own number, the lowest number
 * wins, and the reason a caller sees is masked until part b has opened.
 */

import { expect, test } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encode, Writer } from '../src/cephx/denc.ts';
import {
  capsBuffer,
  encodeAuthorize,
  encodeAuthorizer,
  encodeServiceTicketInfo,
  type ServiceTicketInfo,
} from '../src/cephx/protocol.ts';
import { CHECK_NAMES } from '../src/engine/codes.ts';
import { fromHex } from './twin/load.ts';
import { aesOpenPadded, concat, twinSealer } from './twin/sealer.ts';
import { type TwinInput, type TwinPolicy, verify } from './twin/verify.ts';

const SECOND = 1_000_000_000n;
const CREATED = 1_800_000_000;
const CHALLENGE = 0xfffffffffffffffen;
const AES = new CryptoKey(1, { seconds: CREATED - 60, nanoseconds: 0 }, new Uint8Array(16).fill(3));
const AES256K = new CryptoKey(2, AES.created, new Uint8Array(32).fill(5));
const keyAt = (seconds: number, type = 1, bytes = 16 * type, nanoseconds = 0): CryptoKey =>
  new CryptoKey(type, { seconds, nanoseconds }, new Uint8Array(bytes).fill(7));

/** What an authorizer is made of; `alter...` see whole plaintexts and ciphertexts. */
interface Parts {
  secret: CryptoKey;
  mode: number;
  declaredGlobalId: bigint;
  serviceId: number;
  secretId: bigint;
  ticket: Partial<ServiceTicketInfo['ticket']>;
  sessionKey: CryptoKey;
  plusOne: bigint;
  alterInfo: (plaintext: Uint8Array) => Uint8Array;
  alterBlob: (ciphertext: Uint8Array) => Uint8Array;
  alterAuthorize: (plaintext: Uint8Array) => Uint8Array;
  alterSealed: (ciphertext: Uint8Array) => Uint8Array;
  alterWhole: (bytes: Uint8Array) => Uint8Array;
}

const same = (bytes: Uint8Array): Uint8Array => bytes;
const GOOD: Parts = {
  secret: AES,
  mode: 1,
  declaredGlobalId: 4153n,
  serviceId: abi.ENTITY_TYPE_OSD,
  secretId: 2n,
  ticket: {},
  sessionKey: keyAt(CREATED),
  plusOne: CHALLENGE + 1n,
  alterInfo: same,
  alterBlob: same,
  alterAuthorize: same,
  alterSealed: same,
  alterWhole: same,
};

function authorizer(parts: Parts): Uint8Array {
  const { secret, sessionKey } = parts;
  const ticket = {
    name: { type: abi.ENTITY_TYPE_CLIENT, id: 'john' },
    globalId: 4153n,
    auid: 0xffffffffffffffffn,
    created: { seconds: CREATED, nanoseconds: 0 },
    expires: { seconds: CREATED + 3600, nanoseconds: 0 },
    caps: { allowAll: false, caps: capsBuffer('allow r') },
    flags: 0,
    ...parts.ticket,
  };
  const envelope = fromHex('0155aa2688ad9c00ff');
  const info = concat(envelope, encode(encodeServiceTicketInfo, { ticket, sessionKey }));
  const answer = { haveChallenge: parts.plusOne !== 0n, plusOne: parts.plusOne };
  const authorize = concat(envelope, encode(encodeAuthorize, { nonce: 77n, answer }));
  const seal = (key: CryptoKey, usage: number, plaintext: Uint8Array): Uint8Array =>
    key.usable && key.secret.length >= 16 * key.type
      ? twinSealer.seal(key, usage, plaintext, new Uint8Array(16))
      : plaintext;
  const blob = seal(secret, abi.USAGE_TICKET_INFO, parts.alterInfo(info));
  const sealed = seal(sessionKey, abi.USAGE_AUTHORIZE, parts.alterAuthorize(authorize));
  const bytes = encode(encodeAuthorizer, {
    version: parts.mode,
    globalId: parts.declaredGlobalId,
    serviceId: parts.serviceId,
    ticket: { secretId: parts.secretId, blob: parts.alterBlob(blob) },
    sealed: parts.alterSealed(sealed),
  });
  return parts.alterWhole(bytes);
}

const POLICY: TwinPolicy = {
  plausibility: 'strict',
  expiry: 'enforce',
  skewNs: 300n * SECOND,
  allowedTypes: 'ring',
  generalSecret: false,
};

function judge(parts: Partial<Parts>, policy: Partial<TwinPolicy> = {}, more = {}) {
  const input: TwinInput = {
    bytes: authorizer({ ...GOOD, ...parts }),
    service: abi.ENTITY_TYPE_OSD,
    secrets: [
      {
        service: abi.ENTITY_TYPE_OSD,
        secretId: 2n,
        key: parts.secret ?? AES,
        expiresNs: BigInt(CREATED - 60 + 7200) * SECOND,
      },
    ],
    challenge: { mode: 'issued', value: CHALLENGE },
    nowNs: BigInt(CREATED + 10) * SECOND,
    policy: { ...POLICY, ...policy },
    ...more,
  };
  return verify(input);
}

const flip =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array => {
    const out = bytes.slice();
    out[at < 0 ? out.length + at : at]! ^= 1;
    return out;
  };
const cut =
  (n: number) =>
  (bytes: Uint8Array): Uint8Array =>
    bytes.subarray(0, bytes.length - n);
const first =
  (n: number) =>
  (bytes: Uint8Array): Uint8Array =>
    bytes.subarray(0, n);
const longer = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(1));
/** Ciphertext of the same plaintext with another first padding byte, which Ceph never reads. */
const mixedPadding =
  (key: CryptoKey) =>
  (ciphertext: Uint8Array): Uint8Array => {
    const padded = aesOpenPadded(key.secret, ciphertext)!;
    padded[padded.length - padded.at(-1)!]! ^= 1;
    const whole = twinSealer.seal(key, 0, padded, new Uint8Array(16));
    return whole.subarray(0, padded.length);
  };
const seconds = (at: number, nanoseconds = 0) => ({ seconds: CREATED + at, nanoseconds });
const LONG = { secret: AES256K, sessionKey: keyAt(CREATED, 2) };

type Case = readonly [
  check: number,
  parts: Partial<Parts>,
  policy?: Partial<TwinPolicy>,
  more?: object,
];
const CASES: readonly Case[] = [
  [abi.CHECK_OK, {}],
  [abi.CHECK_OK, LONG],
  [abi.CHECK_OK, { secret: AES256K }],
  [abi.CHECK_OK, { sessionKey: keyAt(CREATED, 2) }],
  [abi.CHECK_LIMIT, { alterWhole: () => new Uint8Array(abi.AUTHORIZER_LEN_MAX + 1) }],
  [abi.CHECK_OUTER_TRUNCATED, { alterWhole: first(0) }],
  [abi.CHECK_OUTER_TRUNCATED, { alterWhole: cut(1) }],
  [abi.CHECK_OUTER_TRUNCATED, { alterWhole: first(25) }],
  [abi.CHECK_AUTHORIZER_MODE, { mode: 0 }],
  [abi.CHECK_AUTHORIZER_MODE, { mode: 2 }],
  [abi.CHECK_AUTHORIZER_MODE, { mode: 10, alterWhole: first(1) }],
  [abi.CHECK_OUTER_TRAILING, { alterWhole: longer, serviceId: 2 }],
  [abi.CHECK_AUTHORIZER_SERVICE, { serviceId: 2, secretId: 9n }],
  [abi.CHECK_SECRET_UNKNOWN, { secretId: 9n }],
  [abi.CHECK_TICKET_KEY_EMPTY, { secret: CryptoKey.none() }],
  [abi.CHECK_TICKET_CIPHERTEXT_LENGTH, { alterBlob: cut(1) }],
  [abi.CHECK_TICKET_CIPHERTEXT_LENGTH, { alterBlob: first(0) }],
  [abi.CHECK_TICKET_CIPHERTEXT_LENGTH, { ...LONG, alterBlob: first(39) }],
  [abi.CHECK_TICKET_MAC, { ...LONG, alterBlob: flip(-1) }],
  [abi.CHECK_TICKET_MAC, { ...LONG, alterBlob: flip(0) }],
  [abi.CHECK_TICKET_PADDING, { alterBlob: mixedPadding(AES) }],
  [abi.CHECK_TICKET_ENVELOPE_SHORT, { alterInfo: first(8) }],
  [abi.CHECK_TICKET_ENVELOPE_MAGIC, { alterInfo: flip(8) }],
  [abi.CHECK_TICKET_TRUNCATED, { alterInfo: cut(1) }],
  [abi.CHECK_TICKET_TRUNCATED, { alterInfo: first(9) }],
  [abi.CHECK_SESSION_KEY_TYPE, { sessionKey: keyAt(CREATED, 9, 16) }],
  [abi.CHECK_SESSION_KEY_LENGTH, { sessionKey: keyAt(CREATED, 1, 15) }],
  [abi.CHECK_SESSION_KEY_LENGTH, { sessionKey: keyAt(CREATED, 2, 31) }],
  [abi.CHECK_SESSION_KEY_LENGTH, { sessionKey: keyAt(CREATED, 1, 129) }],
  [abi.CHECK_SESSION_KEY_LENGTH, { sessionKey: keyAt(CREATED, 0, 129) }],
  [abi.CHECK_OK, { sessionKey: keyAt(CREATED, 1, 128) }],
  [abi.CHECK_TICKET_TRAILING, { alterInfo: longer }],
  [abi.CHECK_HARDEN_AUID, { ticket: { auid: 0n } }],
  [abi.CHECK_OK, { ticket: { auid: undefined } }],
  [abi.CHECK_HARDEN_ALLOW_ALL, { ticket: { caps: { allowAll: true, caps: capsBuffer('') } } }],
  [abi.CHECK_OK, { ticket: { caps: { allowAll: false, caps: new Uint8Array(0) } } }],
  [abi.CHECK_HARDEN_CAPS, { ticket: { caps: { allowAll: false, caps: new Uint8Array(3) } } }],
  [abi.CHECK_HARDEN_CAPS, { ticket: { caps: { allowAll: false, caps: new Uint8Array(5) } } }],
  [abi.CHECK_HARDEN_NSEC, { ticket: { created: seconds(0, 1_000_000_001) } }],
  [abi.CHECK_OK, { ticket: { created: seconds(0, 1_000_000_000) } }],
  [abi.CHECK_HARDEN_NSEC, { ticket: { expires: seconds(3600, 0xffffffff) } }],
  [abi.CHECK_HARDEN_NSEC, { sessionKey: keyAt(CREATED, 1, 16, 0xffffffff) }],
  [abi.CHECK_HARDEN_TIME_ORDER, { ticket: { expires: seconds(-1) } }],
  [abi.CHECK_HARDEN_SPAN, { ticket: { expires: seconds(7201) } }, { plausibility: 'pr71231-span' }],
  [abi.CHECK_OK, { ticket: { expires: seconds(7200) } }, { plausibility: 'pr71231-span' }],
  [abi.CHECK_OK, { ticket: { expires: seconds(7201) } }],
  [abi.CHECK_HARDEN_SESSION_KEY_CREATED, { sessionKey: keyAt(CREATED + 301) }],
  [abi.CHECK_HARDEN_SESSION_KEY_CREATED, { sessionKey: keyAt(CREATED - 301) }],
  [abi.CHECK_OK, { sessionKey: keyAt(CREATED - 300) }],
  [
    abi.CHECK_HARDEN_SESSION_KEY_CREATED,
    { sessionKey: keyAt(CREATED - 1) },
    { plausibility: 'pr71231-span' },
  ],
  [abi.CHECK_GLOBAL_ID, { declaredGlobalId: 4154n }],
  [abi.CHECK_SESSION_KEY_EMPTY, { sessionKey: keyAt(CREATED, 1, 0) }],
  [abi.CHECK_SESSION_KEY_EMPTY, { sessionKey: keyAt(CREATED, 9, 0) }],
  [abi.CHECK_SESSION_KEY_EMPTY, { sessionKey: keyAt(CREATED, 0, 16) }],
  [abi.CHECK_AUTHORIZE_CIPHERTEXT_LENGTH, { alterSealed: cut(1) }],
  [abi.CHECK_AUTHORIZE_CIPHERTEXT_LENGTH, { ...LONG, alterSealed: first(32) }],
  [abi.CHECK_AUTHORIZE_MAC, { ...LONG, alterSealed: flip(3) }],
  [abi.CHECK_AUTHORIZE_PADDING, { alterSealed: mixedPadding(GOOD.sessionKey) }],
  [abi.CHECK_AUTHORIZE_ENVELOPE_SHORT, { alterAuthorize: first(8) }],
  [abi.CHECK_AUTHORIZE_ENVELOPE_MAGIC, { alterAuthorize: flip(1) }],
  [abi.CHECK_AUTHORIZE_TRUNCATED, { alterAuthorize: cut(1) }],
  [abi.CHECK_AUTHORIZE_TRAILING, { alterAuthorize: longer }],
  [abi.CHECK_CHALLENGE_MISSING, { plusOne: 0n }],
  [abi.CHECK_CHALLENGE_MISSING, {}, {}, { challenge: { mode: 'required' } }],
  [abi.CHECK_CHALLENGE_MISMATCH, { plusOne: CHALLENGE }],
  [abi.CHECK_OK, { plusOne: 0n }, {}, { challenge: { mode: 'off' } }],
  [abi.CHECK_POLICY_CIPHER, {}, { allowedTypes: [abi.KEY_TYPE_AES256K] }],
  [abi.CHECK_OK, {}, { allowedTypes: [abi.KEY_TYPE_AES] }],
  [abi.CHECK_TICKET_REVOKED, {}, {}, { revoked: () => true }],
  [abi.CHECK_TICKET_EXPIRED, {}, {}, { nowNs: BigInt(CREATED + 3900) * SECOND }],
  [abi.CHECK_OK, {}, {}, { nowNs: BigInt(CREATED + 3900) * SECOND - 1n }],
  [abi.CHECK_TICKET_NOT_YET_VALID, {}, {}, { nowNs: BigInt(CREATED - 300) * SECOND - 1n }],
  [abi.CHECK_OK, {}, {}, { nowNs: BigInt(CREATED - 300) * SECOND }],
];

test.each(CASES.map(([check, ...rest], i) => ({ i, check, name: CHECK_NAMES[check], rest })))(
  '$i: check $check $name',
  ({ check, rest: [parts, policy, more] }) => {
    const verdict = judge(parts, policy, more);
    expect(verdict.check).toBe(check);
    expect(verdict.decision).toBe(check === abi.CHECK_OK);
    const inFold = check >= abi.CHECK_TICKET_KEY_EMPTY && check <= abi.CHECK_AUTHORIZE_TRAILING;
    const harden = check >= abi.CHECK_HARDEN_AUID && check <= abi.CHECK_HARDEN_SESSION_KEY_CREATED;
    const masked = verdict.reason === abi.REASON_AUTHORIZER_INVALID;
    expect(masked).toBe(inFold && !harden);
    if (harden) expect(verdict.reason).toBe(abi.REASON_TICKET_IMPLAUSIBLE);
  },
);

test('every check of an authorizer is reached', () => {
  const reached = new Set(CASES.map(([check]) => check));
  const all = CHECK_NAMES.map((name, check) => (name === 'unassigned' ? -1 : check));
  const missing = all.filter((check) => check >= abi.CHECK_OUTER_TRUNCATED && !reached.has(check));
  expect(missing).toEqual([]);
});

test('the lowest failing check is told, the reason is that of authentication', () => {
  const both = judge({ ticket: { auid: 0n }, alterSealed: cut(1) });
  expect([both.check, both.reason]).toEqual([abi.CHECK_HARDEN_AUID, abi.REASON_AUTHORIZER_INVALID]);
  const challenge = { mode: 'required' };
  const asked = judge({ ticket: { auid: 0n } }, {}, { challenge });
  expect(asked.reason).toBe(abi.REASON_TICKET_IMPLAUSIBLE);
  const plain = judge({}, {}, { challenge });
  expect(plain.reason).toBe(abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED);
  expect(judge({ plusOne: 0n }).reason).toBe(abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH);
});

test('released takes what Ceph takes; tickets under aes256k are exempt from plausibility', () => {
  const policy = { plausibility: 'released' } as const;
  for (const parts of [
    { mode: 9 },
    { alterWhole: longer },
    { alterInfo: longer },
    { alterAuthorize: longer },
    { alterBlob: mixedPadding(AES) },
    { alterInfo: flip(0) },
    { ticket: { auid: 0n, caps: { allowAll: true, caps: new Uint8Array(3) } } },
    { ticket: { expires: seconds(-1, 0xffffffff) }, sessionKey: keyAt(CREATED + 999) },
  ] satisfies Partial<Parts>[]) {
    expect(judge(parts, { ...policy, expiry: 'ring' }).check).toBe(abi.CHECK_OK);
  }
  const caps = { allowAll: true, caps: new Uint8Array(3) };
  const exempt = judge({ secret: AES256K, ticket: { auid: 0n, caps } });
  expect(exempt.check).toBe(abi.CHECK_OK);
});

test('expiry modes report and ring only note that a ticket is past its time', () => {
  const nowNs = BigInt(CREATED + 3900) * SECOND;
  for (const expiry of ['report', 'ring'] as const) {
    const verdict = judge({}, { expiry }, { nowNs });
    expect([verdict.decision, verdict.expired]).toEqual([true, true]);
    const before = judge({}, { expiry }, { nowNs: nowNs - 1n });
    expect([before.decision, before.expired]).toEqual([true, false]);
  }
});

test('the general secret is used only where it is allowed', () => {
  const general = 0xffffffffffffffffn;
  const secrets = [{ service: abi.ENTITY_TYPE_OSD, secretId: general, key: AES }];
  const parts = { secretId: general };
  expect(judge(parts, {}, { secrets }).check).toBe(abi.CHECK_SECRET_UNKNOWN);
  expect(judge(parts, { generalSecret: true }, { secrets }).check).toBe(abi.CHECK_OK);
});

test('a ticket of which the caps cannot be read still decodes; its text is absent', () => {
  const caps = { allowAll: false, caps: new Writer().u32(9).bytes(new Uint8Array(2)).finish() };
  const verdict = judge({ ticket: { caps } }, { plausibility: 'released' });
  expect([verdict.decision, verdict.capsText]).toEqual([true, undefined]);
});
