/**
 * The tokens against a twin that puts them together anew each time: in the sidecar they share
 * memory, so none may leave anything in the next one.
 */

import { Buffer } from 'node:buffer';
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Engine } from '../src/engine/index.ts';
import {
  type Binding,
  makeChallengeState,
  makeReceipt,
  readChallengeState,
  readReceipt,
} from '../src/http/tokens.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(20261130);
const rng = new Rng(seed);
const engine = await Engine.create({ preset: 'small' });
const keys = { current: rng.bytes(32), previous: undefined };
const LABELS = {
  state: 'cephgate challenge_state v1',
  challenge: 'cephgate server challenge v1',
  receipt: 'cephgate receipt v1',
};

describe(`tokens, seed ${seed}`, () => {
  it('are what the twin makes, long names and short ones in turn', () => {
    for (let i = 0; i < 2_000; i++) {
      const binding = bindingOf();
      const fields = { issuedNs: rng.u64(), instance: rng.bytes(16), serial: rng.u64() };
      const salt = rng.bytes(16);
      const made = makeChallengeState(engine, keys, binding, fields, salt);
      const head = Buffer.concat([Uint8Array.of(1), long(fields.issuedNs), fields.instance]);
      const body = Buffer.concat([head, long(fields.serial), salt]);
      expect(made.token).toBe(twinToken(LABELS.state, binding, body));
      const challenge = twinMac(LABELS.challenge, binding, body).readBigUInt64LE(0);
      expect(made.challenge).toBe(challenge);
      const receipt = {
        mode: rng.chance(0.5) ? 'state' : 'expected',
        answeredNs: rng.u64(),
      } as const;
      const mode = Uint8Array.of(1, receipt.mode === 'state' ? 0 : 1);
      const other = bindingOf();
      const receiptBody = Buffer.concat([mode, long(receipt.answeredNs)]);
      const token = makeReceipt(engine, keys, other, receipt);
      expect(token).toBe(twinToken(LABELS.receipt, other, receiptBody));
      // The first one is good still, and each only for what it is bound to.
      expect(readChallengeState(engine, keys, binding, made.token)).toEqual({
        ...fields,
        challenge,
      });
      expect(readReceipt(engine, keys, other, token)).toEqual(receipt);
      expect(readChallengeState(engine, keys, other, made.token)).toBeUndefined();
      expect(readReceipt(engine, keys, binding, token)).toBeUndefined();
    }
  });
});

/** No two are the same: part a is random. */
function bindingOf(): Binding {
  const text = (most: number): string => 'né€😀'.repeat(rng.int(most)).slice(0, rng.int(most));
  return {
    service: 1 << rng.int(5),
    caller: text(rng.chance(0.5) ? 900 : 20),
    connection: rng.chance(0.5) ? text(40) : undefined,
    peer: rng.chance(0.5) ? { family: 4, bytes: rng.bytes(4) } : undefined,
    partA: rng.bytes(26 + rng.int(400)),
  };
}

function twinToken(label: string, binding: Binding, body: Uint8Array): string {
  return Buffer.concat([body, twinMac(label, binding, body)]).toString('base64');
}

function twinMac(label: string, binding: Binding, body: Uint8Array): Buffer {
  const { service, caller, connection, peer, partA } = binding;
  const number = Buffer.alloc(4);
  number.writeUInt32LE(service);
  const parts = [
    ...[Buffer.from(label), number, Buffer.from(caller)],
    Buffer.from(connection === undefined ? '' : `=${connection}`),
    ...[peer?.bytes ?? Buffer.alloc(0), createHash('sha256').update(partA).digest(), body],
  ];
  const mac = createHmac('sha256', keys.current);
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    mac.update(length).update(part);
  }
  return mac.digest();
}

function long(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
