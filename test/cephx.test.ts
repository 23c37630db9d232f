/**
 * Keys, sealing, tickets, authorizers and verdicts against the vector files, and cephx's encoding
 * against itself. What real daemons sent is in cephx-captures.test.ts and cephx-sessions.test.ts.
 */

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import * as abi from '../assembly/abi.ts';
import {
  buildAuthorizer,
  challengeHash,
  challengeHashMatches,
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeReply,
} from '../src/cephx/authorizer.ts';
import {
  CryptoKey,
  decodeBase64,
  encodeBase64,
  openObject,
  type Sealer,
} from '../src/cephx/cryptokey.ts';
import { DecodeError, decode, encode, foldWords, Reader } from '../src/cephx/denc.ts';
import * as protocol from '../src/cephx/protocol.ts';
import {
  legacyMessageSignature,
  type MessageBlock,
  messageSignature,
} from '../src/cephx/signature.ts';
import { CHECK_NAMES, REASON_CODES } from '../src/engine/codes.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';
import {
  aes256kOpen,
  aes256kSeal,
  aesOpenPadded,
  aesSeal,
  deriveKey,
  stripCephPadding,
  twinSealer,
} from './twin/sealer.ts';
import { type TwinPolicy, verify } from './twin/verify.ts';

const zeros = (n: number): Uint8Array => new Uint8Array(n);
const EPOCH = { seconds: 0, nanoseconds: 0 };
const RELEASED: TwinPolicy = {
  plausibility: 'released',
  expiry: 'ring',
  skewNs: 0n,
  allowedTypes: 'ring',
  generalSecret: false,
};

/** The code of the DecodeError that `run` throws, or `accept`. */
function codeOf(run: () => unknown): string {
  try {
    run();
    return 'accept';
  } catch (error) {
    if (error instanceof DecodeError) return error.code;
    throw error;
  }
}

describe('CryptoKey', () => {
  interface KeyVector {
    id: string;
    b64: string;
    verdict: string;
    check?: string;
    type: number;
    created_sec: number;
    created_nsec?: number;
    secret: string;
    reencodes_to?: string;
  }
  const { vectors } = loadVectors<{ vectors: KeyVector[] }>('crypto-keys.json');

  test.each(vectors)('crypto-keys $id', (vector) => {
    expect(codeOf(() => CryptoKey.fromBase64(vector.b64))).toBe(vector.check ?? vector.verdict);
    if (vector.verdict !== 'accept') return;
    const key = CryptoKey.fromBase64(vector.b64);
    expect(key.type).toBe(vector.type);
    expect(key.created.seconds).toBe(vector.created_sec);
    expect(key.created.nanoseconds).toBe(vector.created_nsec ?? 0);
    expect(toHex(key.secret)).toBe(vector.secret);
    expect(key.toBase64()).toBe(vector.reencodes_to ?? vector.b64);
    expect(key.usable).toBe(vector.secret !== '' && vector.type !== 0);
  });

  test('no way of printing shows the secret', () => {
    for (const type of ['aes', 'aes256k'] as const) {
      const key = CryptoKey.create(type, EPOCH, (n) => new Uint8Array(n).fill(0x41));
      const printed = [`${key}`, JSON.stringify({ key }), inspect(key), inspect({ key })];
      const deno = (key as unknown as Record<symbol, () => string>)[
        Symbol.for('Deno.customInspect')
      ];
      printed.push(deno!.call(key), Object.keys(key).join());
      for (const text of printed) expect(text).not.toMatch(/41|65|QUFB|AAAA/);
      expect(`${key}`).toBe(`CryptoKey(${type})`);
      expect(JSON.stringify(key)).toBe(`"CryptoKey(${type})"`);
      expect(inspect(key)).toBe(`CryptoKey(${type})`);
    }
    expect(`${new CryptoKey(9, EPOCH, zeros(0))}`).toBe('CryptoKey(type 9)');
  });

  test('a created key has its own bytes, and wipe clears them', () => {
    const given = new Uint8Array(32).fill(7);
    const key = CryptoKey.create('aes256k', { seconds: 5, nanoseconds: 6 }, () => given);
    expect(given.every((byte) => byte === 0)).toBe(true);
    expect(key.encode().length).toBe(44);
    expect(toHex(key.secret)).toBe('07'.repeat(32));
    key.wipe();
    expect(key.secret.every((byte) => byte === 0)).toBe(true);
    expect(() => CryptoKey.create('aes', EPOCH, () => zeros(15))).toThrow(RangeError);
  });

  test('base64 is strict', () => {
    const wrong = ['A', 'AB', 'AB=', 'A===', 'AB==\n', ' AB==', 'AB==AB==', 'A-B_', 'AB=C', '===='];
    for (const text of wrong)
      expect([text, codeOf(() => decodeBase64(text))]).toEqual([text, 'base64']);
    for (let n = 0; n < 70; n++) {
      const bytes = Uint8Array.from({ length: n }, (_, i) => i * 37 + n);
      const text = Buffer.from(bytes).toString('base64');
      expect(encodeBase64(bytes)).toBe(text);
      expect(toHex(decodeBase64(text))).toBe(toHex(bytes));
    }
  });
});

describe('sealing', () => {
  interface CryptoVector {
    id: string;
    op: string;
    key: string;
    key_type: number;
    usage: number;
    tag: string;
    bits: number;
    confounder: string;
    pt: string;
    ct: string;
    server: string;
    client: string;
    hmac?: string;
    block: string;
    expect: string;
  }
  const files = ['crypto-aes128.json', 'crypto-rfc8009.json', 'crypto-cephx-aes256k.json'];
  const computed = ['cephx-aes', 'rfc8009-kdf', 'aes256k', 'challenge-hash', 'msgr1-sig-aes-v2'];
  const vectors = files.flatMap((name) => loadVectors<{ vectors: CryptoVector[] }>(name).vectors);

  test.each(vectors.filter((each) => computed.includes(each.op)))('$op $id', (vector) => {
    const secret = fromHex(vector.key);
    const key = new CryptoKey(vector.key_type ?? abi.KEY_TYPE_AES, EPOCH, secret);
    if (vector.op === 'cephx-aes') {
      expect(toHex(aesSeal(secret, fromHex(vector.pt)))).toBe(vector.ct);
      const padded = aesOpenPadded(secret, fromHex(vector.ct))!;
      expect(toHex(stripCephPadding(padded))).toBe(vector.pt);
    } else if (vector.op === 'rfc8009-kdf') {
      const derived = deriveKey(secret, vector.usage, Number.parseInt(vector.tag, 16), vector.bits);
      expect(toHex(derived)).toBe(vector.expect);
    } else if (vector.op === 'aes256k') {
      const { usage } = vector;
      const sealed = aes256kSeal(secret, usage, fromHex(vector.pt), fromHex(vector.confounder));
      expect(toHex(sealed)).toBe(vector.ct);
      expect(toHex(aes256kOpen(secret, usage, sealed)!)).toBe(vector.pt);
      for (const at of [0, sealed.length - 25, sealed.length - 24, sealed.length - 1]) {
        const altered = sealed.slice();
        altered[at]! ^= 1;
        expect(aes256kOpen(secret, usage, altered)).toBeUndefined();
      }
    } else if (vector.op === 'challenge-hash') {
      const challenges = { server: BigInt(vector.server), client: BigInt(vector.client) };
      expect(challengeHash(twinSealer, key, challenges)).toBe(BigInt(vector.expect));
      if (vector.hmac !== undefined) {
        const blob = encode(protocol.encodeChallengeBlob, challenges);
        expect(toHex(twinSealer.hmacSha256(key, blob))).toBe(vector.hmac);
      }
    } else {
      const block = blockOf(fromHex(vector.block));
      expect(messageSignature(twinSealer, key, block)).toBe(BigInt(vector.expect));
    }
  });

  /** The numbers in an encoded message block. */
  function blockOf(bytes: Uint8Array): MessageBlock {
    const reader = new Reader(bytes);
    return {
      headerCrc: reader.u32(),
      frontCrc: reader.u32(),
      frontLen: reader.u32(),
      middleCrc: reader.u32(),
      middleLen: reader.u32(),
      dataCrc: reader.u32(),
      dataLen: reader.u32(),
      seq: BigInt(reader.u32()) + (5n << 32n),
    };
  }

  test('signatures that cannot be made are undefined', () => {
    const block = blockOf(fromHex('01'.repeat(32)));
    const long = new CryptoKey(abi.KEY_TYPE_AES256K, EPOCH, new Uint8Array(32).fill(9));
    expect(messageSignature(twinSealer, long, block)).toBeUndefined();
    const signed = twinSealer.hmacSha256(long, fromHex('01'.repeat(32)));
    expect(messageSignature(twinSealer, long, block, true)).toBe(foldWords(signed));
    expect(legacyMessageSignature(twinSealer, long, block)).toBeUndefined();
    expect(messageSignature(twinSealer, CryptoKey.none(), block)).toBeUndefined();
    // The legacy form, written out: envelope, u32 16, the four checksums.
    const short = new CryptoKey(abi.KEY_TYPE_AES, EPOCH, new Uint8Array(16).fill(9));
    const plain = fromHex(`0155aa2688ad9c00ff10000000${'01010101'.repeat(4)}`);
    const first = new Reader(aesSeal(short.secret, plain)).u64();
    expect(legacyMessageSignature(twinSealer, short, block)).toBe(first);
  });

  test('plaintexts are wiped after sealing and opening', () => {
    const seen: Uint8Array[] = [];
    const spy: Sealer = {
      ...twinSealer,
      seal: (key, usage, plaintext, confounder) => {
        seen.push(plaintext);
        return twinSealer.seal(key, usage, plaintext, confounder);
      },
      open: (key, usage, ciphertext) => {
        const plaintext = twinSealer.open(key, usage, ciphertext);
        if (plaintext !== undefined) seen.push(plaintext);
        return plaintext;
      },
    };
    const key = new CryptoKey(abi.KEY_TYPE_AES256K, EPOCH, new Uint8Array(32).fill(9));
    const secret = new Uint8Array(64).fill(8);
    const reply = sealAuthorizeReply(spy, key, 1n, secret, zeros);
    expect(toHex(openAuthorizeReply(spy, key, 1n, reply))).toBe('08'.repeat(64));
    expect(codeOf(() => openAuthorizeReply(spy, key, 2n, reply))).toBe('reply.nonce');
    expect(seen.length).toBe(3);
    // struct_v and magic, which are no secret, may stay in what was opened.
    for (const plaintext of seen)
      expect(plaintext.subarray(9).every((byte) => byte === 0)).toBe(true);
    expect(secret.every((byte) => byte === 8)).toBe(true);
  });

  test('challenges and nonces wrap at 2^64', () => {
    const sessionKey = new CryptoKey(abi.KEY_TYPE_AES, EPOCH, new Uint8Array(16).fill(4));
    const top = 0xffffffffffffffffn;
    const ticket = { globalId: 1n, serviceId: 4, sessionKey, blob: protocol.NO_TICKET_BLOB };
    const bytes = buildAuthorizer(twinSealer, ticket, top, zeros, top);
    const { sealed } = decode(protocol.decodeAuthorizer, bytes, 'reject');
    const options = { prefixed: false };
    const object = openObject(twinSealer, sessionKey, abi.USAGE_AUTHORIZE, sealed, options);
    const { nonce, answer } = decode(protocol.decodeAuthorize, object, 'reject');
    expect([nonce, answer]).toEqual([top, { haveChallenge: true, plusOne: 0n }]);
    const reply = sealAuthorizeReply(twinSealer, sessionKey, top, zeros(0), zeros);
    expect(openAuthorizeReply(twinSealer, sessionKey, top, reply).length).toBe(0);
  });

  test('openObject names what is wrong', () => {
    const key = new CryptoKey(abi.KEY_TYPE_AES, EPOCH, new Uint8Array(16).fill(1));
    const long = new CryptoKey(abi.KEY_TYPE_AES256K, EPOCH, new Uint8Array(32).fill(1));
    const open = (by: CryptoKey, sealed: Uint8Array, prefixed = false): string =>
      codeOf(() => openObject(twinSealer, by, 16, sealed, { prefixed }));
    expect(open(CryptoKey.none(), zeros(16))).toBe('key.empty');
    expect(open(new CryptoKey(0, EPOCH, zeros(16)), zeros(16))).toBe('key.empty');
    expect(open(key, zeros(0))).toBe('ciphertext.length');
    expect(open(key, zeros(17))).toBe('ciphertext.length');
    expect(open(long, zeros(39))).toBe('ciphertext.length');
    expect(open(long, zeros(40))).toBe('ciphertext.mac');
    expect(open(key, aesSeal(key.secret, zeros(8)))).toBe('envelope.short');
    expect(open(key, aesSeal(key.secret, zeros(9)))).toBe('envelope.magic');
    expect(open(key, fromHex('110000'), true)).toBe('decode.truncated');
    expect(open(key, fromHex('11000000'), true)).toBe('decode.truncated');
    const good = aesSeal(key.secret, fromHex('0755aa2688ad9c00ff'));
    expect(open(key, good)).toBe('accept');
  });
});

interface SyntheticVector {
  id: string;
  kind: string;
  input: {
    service_id: number;
    secrets: { secret_id: string; key: string }[];
    server_challenge: string | null;
    authorizer: string;
    keys: string[];
    server: string;
    client: string;
    presented: string;
    session_key: string;
    nonce: string;
    reply: string;
    sealed: string;
  };
  expect: Record<string, { verdict: string; checks?: string[] }>;
  decoded?: Record<string, unknown>;
}

describe('tickets-synthetic', () => {
  const { vectors, policies } = loadVectors<{
    vectors: SyntheticVector[];
    policies: Record<TwinPolicy['plausibility'], unknown>;
  }>('tickets-synthetic.json');
  const names = Object.keys(policies) as TwinPolicy['plausibility'][];
  const cases = vectors.flatMap((vector) => names.map((policy) => ({ vector, policy })));

  test.each(cases)('$vector.id under $policy', ({ vector, policy }) => {
    const expected = vector.expect[policy] ?? vector.expect.all!;
    const [verdict, decoded] = judge(vector, policy);
    if (expected.verdict === 'accept') {
      expect(verdict).toBe('accept');
      expect(decoded).toEqual(vector.decoded);
    } else expect(expected.checks).toContain(verdict);
  });

  function judge(
    { kind, input }: SyntheticVector,
    plausibility: TwinPolicy['plausibility'],
  ): [string, Record<string, unknown>] {
    if (kind === 'authorizer') return judgeAuthorizer(input, plausibility);
    let decoded: Record<string, unknown> = {};
    const verdict = codeOf(() => {
      if (kind === 'challenge_hash') {
        const challenges = { server: BigInt(input.server), client: BigInt(input.client) };
        const index = input.keys.findIndex((text) => {
          const key = CryptoKey.fromBase64(text);
          return challengeHashMatches(twinSealer, key, challenges, BigInt(input.presented));
        });
        decoded = { key_index: index };
        return;
      }
      const key = CryptoKey.fromBase64(input.session_key);
      if (kind === 'authorizer_reply') {
        const nonce = BigInt(input.nonce);
        const secret = openAuthorizeReply(twinSealer, key, nonce, fromHex(input.reply));
        decoded = { connection_secret: toHex(secret) };
      } else if (kind === 'authorizer_challenge') {
        const challenge = openAuthorizeChallenge(twinSealer, key, fromHex(input.sealed));
        decoded = { server_challenge: `${challenge}` };
      } else throw new Error(`unknown kind "${kind}"`);
    });
    return [decoded.key_index === -1 ? 'challenge.hash' : verdict, decoded];
  }

  function judgeAuthorizer(
    input: SyntheticVector['input'],
    plausibility: TwinPolicy['plausibility'],
  ): [string, Record<string, unknown>] {
    const { server_challenge: sent } = input;
    const verdict = verify({
      bytes: fromHex(input.authorizer),
      service: input.service_id,
      secrets: input.secrets.map((secret) => ({
        service: input.service_id,
        secretId: BigInt(secret.secret_id),
        key: CryptoKey.fromBase64(secret.key),
      })),
      challenge:
        sent === 'off'
          ? { mode: 'off' }
          : sent === null
            ? { mode: 'required' }
            : { mode: 'issued', value: BigInt(sent) },
      nowNs: 0n,
      policy: { ...RELEASED, plausibility },
    });
    if (!verdict.decision) return [CHECK_NAMES[verdict.check]!, {}];
    const ticket = verdict.ticket!;
    const id = new TextDecoder().decode(ticket.entityId);
    return [
      'accept',
      {
        entity: protocol.formatEntityName({ type: ticket.entityType, id }),
        global_id: `${ticket.globalId}`,
        created: [ticket.created.seconds, ticket.created.nanoseconds],
        expires: [ticket.expires.seconds, ticket.expires.nanoseconds],
        allow_all: ticket.allowAll,
        caps_hex: toHex(ticket.capsRaw),
        session_key: ticket.sessionKey.toBase64(),
        secret_id: `${verdict.secretId}`,
        nonce: `${verdict.nonce}`,
        have_challenge: verdict.haveChallenge,
      },
    ];
  }
});

test('codes are as many as the numbers of the ABI, and reasons are their names', () => {
  expect(REASON_CODES.length).toBe(abi.REASON_COUNT);
  expect(CHECK_NAMES.length).toBe(abi.CHECK_COUNT);
  const reasons: readonly string[] = REASON_CODES;
  const checks: readonly string[] = CHECK_NAMES;
  for (const [name, value] of Object.entries(abi)) {
    if (name.startsWith('REASON_') && name !== 'REASON_COUNT') {
      expect(reasons[value]).toBe(name.slice(7).toLowerCase().replace('_', '.'));
    }
    if (/^CHECK_(?!COUNT|FOLD)/.test(name)) {
      const words = name.slice(6).toLowerCase().split('_');
      expect([name, words.at(-1)]).toEqual([name, checks[value]!.split(/[._]/).at(-1)]);
    }
  }
});

describe('a CryptoKey made from a Node Buffer', () => {
  test('has bytes of its own', () => {
    const given = Buffer.alloc(16, 7);
    const key = new CryptoKey(1, { seconds: 0, nanoseconds: 0 }, given);
    given.fill(0);
    expect(key.secret.every((byte) => byte === 7)).toBe(true);
  });
});
