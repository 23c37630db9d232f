/**
 * CBC of every number of blocks beside node:crypto: which way the core goes depends on that number,
 * and the longest way leaves blocks of the call before where none of this one are.
 */

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { Engine } from '../src/engine/index.ts';
import { embedded } from '../src/engine/wasm.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(11);
/** Thrice the most that are decrypted at once, and two more. */
const BLOCKS_MAX = 50;
const CIPHERS = [
  ['aes-128-cbc', 16, abi.PRIMITIVE_AES128_CBC_ENCRYPT, abi.PRIMITIVE_AES128_CBC_DECRYPT],
  ['aes-256-cbc', 32, abi.PRIMITIVE_AES256_CBC_ENCRYPT, abi.PRIMITIVE_AES256_CBC_DECRYPT],
] as const;
const relaxed = WebAssembly.validate(await embedded('relaxed'));
const builds = ['simd', 'plain', ...(relaxed ? (['relaxed'] as const) : [])] as const;

describe.each(builds)('AES-CBC, %s build', (build) => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await Engine.create({ build, preset: 'small' });
  });

  it.each(CIPHERS)(`%s is that of node:crypto (seed ${seed})`, (name, keyLen, encrypt, decrypt) => {
    const rng = new Rng(seed);
    // Up, then down: each number follows a shorter one and a longer one.
    const numbers = Array.from({ length: BLOCKS_MAX }, (_, i) => i + 1);
    for (const blocks of [...numbers, ...numbers.slice().reverse()]) {
      const key = rng.bytes(keyLen);
      const iv = rng.bytes(16);
      const text = rng.bytes(16 * blocks);
      const cipher = createCipheriv(name, key, iv).setAutoPadding(false);
      const sealed = new Uint8Array(Buffer.concat([cipher.update(text), cipher.final()]));
      expect(engine.primitive(encrypt, key, text, iv)).toEqual(sealed);
      expect(engine.primitive(decrypt, key, sealed, iv)).toEqual(text);
      // Of what nobody sealed too.
      const decipher = createDecipheriv(name, key, iv).setAutoPadding(false);
      const opened = new Uint8Array(Buffer.concat([decipher.update(text), decipher.final()]));
      expect(engine.primitive(decrypt, key, text, iv)).toEqual(opened);
    }
  });
});
