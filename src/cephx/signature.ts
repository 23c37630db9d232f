/**
 * Signatures under a session key: of single messages in msgr1, of everything a side received
 * during the handshake in msgr2 (Ceph: CephxSessionHandler.cc, ProtocolV2.cc; spec section 15).
 */

import { KEY_TYPE_AES, KEY_TYPE_AES256K, USAGE_NONE } from '../../assembly/abi.ts';
import { type CryptoKey, ENVELOPE_MAGIC, type Sealer } from './cryptokey.ts';
import { foldWords, Reader, Writer } from './denc.ts';

/** What a msgr1 message signature covers: numbers of the message's header and footer. */
export interface MessageBlock {
  readonly headerCrc: number;
  readonly frontCrc: number;
  readonly frontLen: number;
  readonly middleCrc: number;
  readonly middleLen: number;
  readonly dataCrc: number;
  readonly dataLen: number;
  /** Sequence number of the message; its low 32 bits are signed. */
  readonly seq: bigint;
}

/** The 32 signed bytes: eight u32. */
export function encodeMessageBlock(block: MessageBlock): Uint8Array {
  return new Writer()
    .u32(block.headerCrc)
    .u32(block.frontCrc)
    .u32(block.frontLen)
    .u32(block.middleCrc)
    .u32(block.middleLen)
    .u32(block.dataCrc)
    .u32(block.dataLen)
    .u32(Number(BigInt.asUintN(32, block.seq)))
    .finish();
}

/**
 * The `sig` of a msgr1 message between peers with feature CEPHX_V2 (mimic and later).
 *
 * Under `aes256k` the form is unconfirmed: no stored source shows Ceph's code. It is computed only
 * if `unconfirmed` is true, else there is no signature: undefined, to be treated as failed.
 */
export function messageSignature(
  sealer: Sealer,
  sessionKey: CryptoKey,
  block: MessageBlock,
  unconfirmed = false,
): bigint | undefined {
  if (!sessionKey.usable) return undefined;
  const signed = encodeMessageBlock(block);
  if (sessionKey.type === KEY_TYPE_AES) {
    return foldWords(sealer.seal(sessionKey, USAGE_NONE, signed, NO_CONFOUNDER));
  }
  if (sessionKey.type !== KEY_TYPE_AES256K || !unconfirmed) return undefined;
  return foldWords(sealer.hmacSha256(sessionKey, signed));
}

/**
 * The `sig` of a msgr1 message to a peer without CEPHX_V2: the first eight bytes of the sealed
 * block { u32 16, header_crc, front_crc, middle_crc, data_crc }. It leaves lengths and order
 * unsigned (CVE-2018-1129). Exists for `aes` only; undefined for other keys.
 */
export function legacyMessageSignature(
  sealer: Sealer,
  sessionKey: CryptoKey,
  block: MessageBlock,
): bigint | undefined {
  if (!sessionKey.usable || sessionKey.type !== KEY_TYPE_AES) return undefined;
  const signed = new Writer()
    .u8(1)
    .u64(ENVELOPE_MAGIC)
    .u32(16)
    .u32(block.headerCrc)
    .u32(block.frontCrc)
    .u32(block.middleCrc)
    .u32(block.dataCrc)
    .finish();
  return new Reader(sealer.seal(sessionKey, USAGE_NONE, signed, NO_CONFOUNDER)).u64();
}

/**
 * AUTH_SIGNATURE of msgr2, 32 bytes: over all bytes that the sender received before
 * authentication ended (banner, HELLO, AUTH_* frames). Zeros when there is no session key.
 */
export function handshakeSignature(
  sealer: Sealer,
  sessionKey: CryptoKey | undefined,
  received: Uint8Array,
): Uint8Array {
  if (sessionKey === undefined || !sessionKey.usable) return new Uint8Array(32);
  return sealer.hmacSha256(sessionKey, received);
}

/** `aes` takes no randomness. */
const NO_CONFOUNDER = new Uint8Array(16);
