/**
 * Writing of request records (layouts in assembly/abi.ts) straight into the request region.
 */

import * as abi from '../../assembly/abi.ts';
import type {
  Address,
  CheckRequest,
  DecideRequest,
  MdsOp,
  OsdOp,
  ServiceId,
  SignatureScheme,
  VerifyRequest,
} from './types.ts';

const encoder = new TextEncoder();
/** Texts up to this long are tried as ASCII first. */
const ASCII_LEN_MAX = 64;

const SCHEMES: Readonly<Record<SignatureScheme, number>> = {
  'msgr1-legacy': abi.SCHEME_MSGR1_LEGACY,
  msgr1: abi.SCHEME_MSGR1,
  'msgr2-auth': abi.SCHEME_MSGR2_AUTH,
};

/** Raised when a record does not fit into the request region. */
export class RecordTooLarge extends RangeError {
  override readonly name = 'RecordTooLarge';
}

/**
 * Appends records to a region of memory. `at` is where the next record begins; a record is written
 * completely or, when it does not fit, `RecordTooLarge` is thrown and `at` has not moved.
 */
export class RecordWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;
  /** Start of the record that was finished last. */
  #last = 0;
  #end = 0;

  /** @param bytes the region, a view of the core's memory or a buffer of one's own */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  verify(request: VerifyRequest, tag = 0): void {
    let flags = request.tail === false ? 0 : abi.FLAG_TAIL;
    if (request.reply) flags |= abi.FLAG_REPLY;
    if (request.secure) flags |= abi.FLAG_SECURE;
    if (request.session) flags |= abi.FLAG_KEEP;
    if (request.secrets) flags |= abi.FLAG_SECRETS;
    if (request.unproven) flags |= abi.FLAG_UNPROVEN;
    this.#verify(request, flags, tag);
  }

  #verify(request: VerifyRequest | DecideRequest, flags: number, tag: number): void {
    this.#begin(abi.KIND_VERIFY, flags, request.service, tag, abi.VERIFY_LEN);
    this.#part(abi.VERIFY_AUTHORIZER, request.authorizer);
    this.#peer(abi.VERIFY_PEER_FAMILY, abi.VERIFY_PEER, request.peer);
    this.#finish();
  }

  /** Two records: a verify, and a check of the session that it opens. */
  decide(request: DecideRequest, tag = 0): void {
    const begin = this.at;
    this.#verify(request, abi.FLAG_KEEP | (request.tail ? abi.FLAG_TAIL : 0), tag);
    try {
      // The session that the verify opens has the peer.
      this.#check(request, undefined, request.session ?? false, tag);
    } catch (error) {
      this.at = begin;
      throw error;
    }
    this.#view.setUint32(this.#last + abi.RECORD_HANDLE, abi.HANDLE_PREVIOUS, true);
    this.#view.setUint32(this.#last + abi.RECORD_HANDLE + 4, abi.HANDLE_PREVIOUS, true);
  }

  check(request: CheckRequest, tag = 0): void {
    this.#check(request, request.peer, false, tag);
    this.#view.setBigUint64(this.#last + abi.RECORD_HANDLE, request.handle, true);
  }

  #check(
    request: CheckRequest | DecideRequest,
    peer: Address | undefined,
    keep: boolean,
    tag: number,
  ): void {
    const kind = request.explain ? abi.KIND_EXPLAIN : abi.KIND_CHECK;
    const mds = request.service === abi.ENTITY_TYPE_MDS;
    const flags = (request.tail ? abi.FLAG_TAIL : 0) | (keep ? abi.FLAG_KEEP : 0);
    this.#begin(kind, flags, request.service, tag, mds ? abi.MDS_LEN : abi.OSD_LEN);
    if (mds) this.#mdsOp(request.op as MdsOp, peer);
    else this.#osdOp(request.op as OsdOp, peer);
    this.#finish();
  }

  capsParse(service: ServiceId, text: Uint8Array, keep: boolean, tag = 0): void {
    const flags = abi.FLAG_TAIL | (keep ? abi.FLAG_KEEP : 0);
    this.#begin(abi.KIND_CAPS_PARSE, flags, service, tag, abi.CAPS_PARSE_LEN);
    this.#part(abi.CAPS_PARSE_TEXT, text);
    this.#finish();
  }

  /** With a signature the record asks for its check, without one for a signature. */
  sign(
    service: ServiceId,
    handle: bigint,
    scheme: SignatureScheme,
    block: Uint8Array,
    signature: Uint8Array | undefined,
    tag = 0,
  ): void {
    const kind = signature === undefined ? abi.KIND_SIGN : abi.KIND_SIGN_VERIFY;
    this.#begin(kind, 0, service, tag, abi.SIGN_LEN);
    this.#view.setBigUint64(this.at + abi.RECORD_HANDLE, handle, true);
    this.#view.setUint32(this.at + abi.SIGN_SCHEME, SCHEMES[scheme], true);
    this.#part(abi.SIGN_BLOCK, block);
    if (signature !== undefined) this.#part(abi.SIGN_SIGNATURE, signature);
    this.#finish();
  }

  #begin(kind: number, flags: number, service: number, tag: number, length: number): void {
    const { at } = this;
    this.#end = at;
    this.#room(length);
    this.#zero(at, length);
    this.#view.setUint16(at + abi.RECORD_KIND, kind, true);
    this.#view.setUint16(at + abi.RECORD_FLAGS, flags, true);
    this.#view.setUint32(at + abi.RECORD_SERVICE, service, true);
    this.#view.setUint32(at + abi.RECORD_TAG, tag, true);
    this.#end = at + length;
  }

  /** A multiple of 8 bytes, so few that a loop beats the call that a fill is. */
  #zero(at: number, length: number): void {
    for (let i = 0; i < length; i += 8) this.#view.setFloat64(at + i, 0, true);
  }

  #finish(): void {
    this.#view.setUint32(this.at + abi.RECORD_BYTES, this.#end - this.at, true);
    this.#last = this.at;
    this.at = this.#end;
  }

  #room(length: number): void {
    if (this.#end + length > this.#bytes.length) {
      throw new RecordTooLarge(
        `Cannot write a record: the request region has ${this.#bytes.length} bytes`,
      );
    }
  }

  #part(field: number, bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#pair(this.at + field, this.#end, bytes.length);
    this.#end += bytes.length;
  }

  /** Names are mostly short and ASCII: for those a loop beats the encoder. */
  #text(field: number, text: string | undefined): void {
    if (text === undefined || text === '') return;
    const bytes = this.#bytes;
    const start = this.#end;
    const { length } = text;
    let i = 0;
    if (length <= ASCII_LEN_MAX && start + length <= bytes.length) {
      for (; i + 2 <= length; i += 2) {
        const one = text.charCodeAt(i);
        const two = text.charCodeAt(i + 1);
        if ((one | two) > 0x7f) break;
        this.#view.setUint16(start + i, one | (two << 8), true);
      }
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[start + i] = code;
      }
    }
    if (i === length) this.#end = start + length;
    else this.#append(text);
    this.#pair(this.at + field, start, this.#end - start);
  }

  /** Appends UTF-8 and returns its length. `#end` moves behind it. */
  #append(text: string): number {
    // A UTF-16 unit takes at most three bytes of UTF-8.
    this.#room(text.length * 3);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.#end));
    this.#end += written;
    return written;
  }

  /** Writes (offset from the record's start, length) at an absolute address. */
  #pair(at: number, start: number, length: number): void {
    this.#view.setUint32(at, start - this.at, true);
    this.#view.setUint32(at + 4, length, true);
  }

  #peer(family: number, field: number, peer: Address | undefined): void {
    if (peer === undefined) return;
    const length = peer.family === 4 ? 4 : 16;
    if (peer.bytes.length !== length) {
      throw new RangeError(
        `Cannot take "peer": an IPv${peer.family} address has ${length} bytes, ` +
          `got ${peer.bytes.length}`,
      );
    }
    this.#view.setUint32(this.at + family, peer.family, true);
    // So few bytes that a loop beats the call that a copy is.
    for (let i = 0; i < length; i++) this.#bytes[this.at + field + i] = peer.bytes[i] as number;
  }

  #osdOp(op: OsdOp, peer: Address | undefined): void {
    this.#text(abi.OSD_POOL, op.pool);
    this.#text(abi.OSD_NAMESPACE, op.namespace);
    this.#text(abi.OSD_OBJECT, op.object);
    const bits = (op.read ? abi.OSD_READ : 0) | (op.write ? abi.OSD_WRITE : 0);
    this.#view.setUint32(this.at + abi.OSD_BITS, bits, true);
    this.#peer(abi.OSD_PEER_FAMILY, abi.OSD_PEER, peer);
    if (op.classes !== undefined && op.classes.length > 0) this.#classes(op.classes);
    if (op.appMetadata !== undefined) this.#appMetadata(op.appMetadata);
  }

  #classes(classes: NonNullable<OsdOp['classes']>): void {
    let entry = this.#array(abi.OSD_CLASSES, classes.length * abi.OSD_CLASS_LEN);
    for (const call of classes) {
      const name = this.#end;
      this.#pair(entry + abi.OSD_CLASS_NAME, name, this.#append(call.name));
      const method = this.#end;
      this.#pair(entry + abi.OSD_CLASS_METHOD, method, this.#append(call.method));
      const bits =
        (call.read ? abi.CLASS_READ : 0) |
        (call.write ? abi.CLASS_WRITE : 0) |
        (call.allowListed ? abi.CLASS_ALLOW_LISTED : 0);
      this.#view.setUint32(entry + abi.OSD_CLASS_BITS, bits, true);
      entry += abi.OSD_CLASS_LEN;
    }
  }

  #appMetadata(metadata: NonNullable<OsdOp['appMetadata']>): void {
    const triples: [string, string | undefined, string][] = [];
    for (const application of Object.keys(metadata).sort()) {
      const values = metadata[application] ?? {};
      const keys = Object.keys(values).sort();
      if (keys.length === 0) triples.push([application, undefined, '']);
      for (const key of keys) triples.push([application, key, values[key] ?? '']);
    }
    if (triples.length === 0) return;
    let entry = this.#array(abi.OSD_APP_METADATA, triples.length * abi.OSD_APP_LEN);
    for (const [application, key, value] of triples) {
      this.#pair(entry + abi.OSD_APP_NAME, this.#end, 0);
      this.#view.setUint32(entry + abi.OSD_APP_NAME + 4, this.#append(application), true);
      if (key === undefined) {
        this.#view.setUint32(entry + abi.OSD_APP_KEY, 0xffffffff, true);
      } else {
        this.#pair(entry + abi.OSD_APP_KEY, this.#end, 0);
        this.#view.setUint32(entry + abi.OSD_APP_KEY + 4, this.#append(key), true);
        this.#pair(entry + abi.OSD_APP_VALUE, this.#end, 0);
        this.#view.setUint32(entry + abi.OSD_APP_VALUE + 4, this.#append(value), true);
      }
      entry += abi.OSD_APP_LEN;
    }
  }

  /** Reserves a zeroed array part and returns the address of its first entry. */
  #array(field: number, length: number): number {
    this.#room(length);
    const start = this.#end;
    this.#bytes.fill(0, start, start + length);
    this.#pair(this.at + field, start, length);
    this.#end += length;
    return start;
  }

  #mdsOp(op: MdsOp, peer: Address | undefined): void {
    this.#text(abi.MDS_PATH, op.path);
    this.#text(abi.MDS_FS, op.fs);
    const words: readonly [number, number][] = [
      [abi.MDS_INODE_UID, op.inodeUid],
      [abi.MDS_INODE_GID, op.inodeGid],
      [abi.MDS_INODE_MODE, op.inodeMode],
      [abi.MDS_CALLER_UID, op.callerUid],
      [abi.MDS_CALLER_GID, op.callerGid],
      [abi.MDS_MASK, op.mask],
      [abi.MDS_NEW_UID, op.newUid ?? 0],
      [abi.MDS_NEW_GID, op.newGid ?? 0],
    ];
    for (const [field, value] of words) this.#view.setUint32(this.at + field, value, true);
    this.#peer(abi.MDS_PEER_FAMILY, abi.MDS_PEER, peer);
    const gids = op.callerGidList ?? [];
    if (gids.length === 0) return;
    let entry = this.#array(abi.MDS_GIDS, gids.length * 4);
    for (const gid of gids) {
      this.#view.setUint32(entry, gid, true);
      entry += 4;
    }
  }
}
