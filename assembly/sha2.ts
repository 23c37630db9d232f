/**
 * SHA-256, SHA-384 and HMAC of both: FIPS 180-4 and RFC 2104. Time depends on lengths only.
 */

import { wipe } from './bytes';
import { SHA256_WORDS, SHA256_WORDS_LEN, sha256Compress } from './sha256';
import { SHA512_WORDS, SHA512_WORDS_LEN, sha512Compress } from './sha512';

/** Saved pads of an HMAC-SHA384 key: the states after the inner and after the outer pad. */
export const HMAC384_PADS_LEN: i32 = 128;

const SHA256_LEN: i32 = 32;
const SHA384_LEN: i32 = 48;
/** A state takes 64 bytes for either function; SHA-256 uses the first half. */
const STATE_LEN: i32 = 64;
const HMAC256_PADS_LEN: i32 = 128;

/** FIPS 180-4 section 5.3.3. */
const START_256: usize = memory.data<u32>(
  [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    0, 0, 0, 0, 0, 0, 0, 0,
  ],
  16,
);

/** FIPS 180-4 section 5.3.4. */
const START_384: usize = memory.data<u64>(
  [
    0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
    0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
  ],
  16,
);

/** Scratch: state, block, inner digest or digest of a long key, pads of HMAC-SHA256. */
const SCRATCH_LEN: i32 = 384;
const SCRATCH: usize = memory.data(SCRATCH_LEN, 16);
const STATE: usize = SCRATCH;
const BLOCK: usize = SCRATCH + 64;
const DIGEST: usize = SCRATCH + 192;
const PADS_256: usize = SCRATCH + 256;

/** Hashes len bytes at src; writes 32 bytes at dst. */
export function sha256(src: usize, len: i32, dst: usize): void {
  hash(0, src, len, dst);
}

/** Hashes len bytes at src; writes 48 bytes at dst. */
export function sha384(src: usize, len: i32, dst: usize): void {
  hash(1, src, len, dst);
}

/** HMAC-SHA256 under a key of any length; writes 32 bytes at dst. */
export function hmac256(key: usize, keyLen: i32, src: usize, len: i32, dst: usize): void {
  savePads(0, key, keyLen, PADS_256);
  mac(0, PADS_256, src, 0, src, len, dst);
  wipe(PADS_256, HMAC256_PADS_LEN);
}

/** Saves the pads of a key of any length at `pads`, HMAC384_PADS_LEN bytes. */
export function hmac384Pads(key: usize, keyLen: i32, pads: usize): void {
  savePads(1, key, keyLen, pads);
}

/** HMAC-SHA384 under saved pads; writes 48 bytes at dst. */
export function hmac384(pads: usize, src: usize, len: i32, dst: usize): void {
  mac(1, pads, src, 0, src, len, dst);
}

/** HMAC-SHA384 of headLen bytes (at most 128) at `head`, then len bytes at src. */
export function hmac384Two(
  pads: usize,
  head: usize,
  headLen: i32,
  src: usize,
  len: i32,
  dst: usize,
): void {
  mac(1, pads, head, headLen, src, len, dst);
}

/** Zeroes the scratch of this module and of the compression functions. */
export function sha2Wipe(): void {
  wipe(SCRATCH, SCRATCH_LEN);
  wipe(SHA256_WORDS, SHA256_WORDS_LEN);
  wipe(SHA512_WORDS, SHA512_WORDS_LEN);
}

// In what follows `wide` is 1 for SHA-384 and 0 for SHA-256.

function hash(wide: i32, src: usize, len: i32, dst: usize): void {
  setState(wide ? START_384 : START_256);
  absorb(wide, 0, src, 0, src, len);
  putDigest(wide, dst);
}

/** RFC 2104 section 2, from saved pads. */
function mac(
  wide: i32,
  pads: usize,
  head: usize,
  headLen: i32,
  src: usize,
  len: i32,
  dst: usize,
): void {
  const blockLen = 64 << wide;
  setState(pads);
  absorb(wide, blockLen, head, headLen, src, len);
  putDigest(wide, DIGEST);
  setState(pads + STATE_LEN);
  absorb(wide, blockLen, DIGEST, 0, DIGEST, wide ? SHA384_LEN : SHA256_LEN);
  putDigest(wide, dst);
}

/** RFC 2104 section 4: the states after one block of key and pad. */
function savePads(wide: i32, key: usize, keyLen: i32, pads: usize): void {
  const blockLen = 64 << wide;
  if (keyLen > blockLen) {
    hash(wide, key, keyLen, DIGEST);
    key = DIGEST;
    keyLen = wide ? SHA384_LEN : SHA256_LEN;
  }
  padded(key, keyLen, blockLen);
  xorBlock(blockLen, 0x3636363636363636);
  copyState(pads, wide ? START_384 : START_256);
  compress(wide, pads, BLOCK);
  xorBlock(blockLen, 0x3636363636363636 ^ 0x5c5c5c5c5c5c5c5c);
  copyState(pads + STATE_LEN, wide ? START_384 : START_256);
  compress(wide, pads + STATE_LEN, BLOCK);
}

/** Takes head and source into STATE and ends the message; `before` bytes went in already. */
function absorb(wide: i32, before: i32, head: usize, headLen: i32, src: usize, len: i32): void {
  const blockLen = 64 << wide;
  const bits: u64 = ((before as u64) + (headLen as u64) + (len as u64)) << 3;
  if (headLen > 0) {
    padded(head, headLen, blockLen);
    const taken = min(len, blockLen - headLen);
    copyBytes(BLOCK + headLen, src, taken);
    src += taken;
    len -= taken;
    if (headLen + taken < blockLen) {
      finish(wide, headLen + taken, bits);
      return;
    }
    compress(wide, STATE, BLOCK);
  }
  for (; len >= blockLen; len -= blockLen, src += blockLen) compress(wide, STATE, src);
  padded(src, len, blockLen);
  finish(wide, len, bits);
}

/** Padding of FIPS 180-4 section 5.1 after the first `used` bytes of BLOCK; the rest is zero. */
function finish(wide: i32, used: i32, bits: u64): void {
  const blockLen = 64 << wide;
  store<u8>(BLOCK + used, 0x80);
  if (used >= blockLen - (8 << wide)) {
    compress(wide, STATE, BLOCK);
    padded(BLOCK, 0, blockLen);
  }
  store<u64>(BLOCK + blockLen - 8, bswap<u64>(bits));
  compress(wide, STATE, BLOCK);
}

function compress(wide: i32, state: usize, block: usize): void {
  if (wide) sha512Compress(state, block);
  else sha256Compress(state, block);
}

function setState(from: usize): void {
  copyState(STATE, from);
}

function copyState(to: usize, from: usize): void {
  for (let i = 0; i < STATE_LEN; i += 8) store<u64>(to + i, load<u64>(from + i));
}

/** Writes the digest, big-endian; SHA-384 is the first six words of its state. */
function putDigest(wide: i32, dst: usize): void {
  if (wide) {
    for (let i = 0; i < SHA384_LEN; i += 8) store<u64>(dst + i, bswap<u64>(load<u64>(STATE + i)));
  } else {
    for (let i = 0; i < SHA256_LEN; i += 4) store<u32>(dst + i, bswap<u32>(load<u32>(STATE + i)));
  }
}

/** BLOCK = len bytes at src (fewer than a block), then zeros. */
function padded(src: usize, len: i32, blockLen: i32): void {
  wipe(BLOCK, blockLen);
  copyBytes(BLOCK, src, len);
}

/** A copy in line: a call of memory.copy costs more than the few bytes of a block. */
function copyBytes(dst: usize, src: usize, len: i32): void {
  let i = 0;
  for (; i + 8 <= len; i += 8) store<u64>(dst + i, load<u64>(src + i));
  for (; i < len; i++) store<u8>(dst + i, load<u8>(src + i));
}

function xorBlock(blockLen: i32, pad: u64): void {
  for (let i = 0; i < blockLen; i += 8) store<u64>(BLOCK + i, load<u64>(BLOCK + i) ^ pad);
}
