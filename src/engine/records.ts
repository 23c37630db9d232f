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

// What the ways of `decide` need, as constants of this module: those an engine compiles into its
// code, where an import would be a load and a check for each use.
const ENTITY_TYPE_MDS = abi.ENTITY_TYPE_MDS;
const FLAG_KEEP = abi.FLAG_KEEP;
const FLAG_TAIL = abi.FLAG_TAIL;
const KIND_CHECK = abi.KIND_CHECK;
const KIND_EXPLAIN = abi.KIND_EXPLAIN;
const KIND_VERIFY = abi.KIND_VERIFY;
const OSD_LEN = abi.OSD_LEN;
const OSD_READ = abi.OSD_READ;
const OSD_WRITE = abi.OSD_WRITE;
const VERIFY_LEN = abi.VERIFY_LEN;
// Fields by words.
const KIND = abi.RECORD_KIND / 4;
const SERVICE = abi.RECORD_SERVICE / 4;
const TAG = abi.RECORD_TAG / 4;
const HANDLE = abi.RECORD_HANDLE / 4;
const AUTHORIZER = abi.VERIFY_AUTHORIZER / 4;
const VERIFY_PEER = abi.VERIFY_PEER_FAMILY / 4;
const VERIFY_WORDS = VERIFY_LEN / 4;
/** OSD_POOL, OSD_NAMESPACE and OSD_OBJECT are neighbours. */
const POOL = abi.OSD_POOL / 4;
const BITS = abi.OSD_BITS / 4;
const OSD_PEER = abi.OSD_PEER_FAMILY / 4;
const OSD_WORDS = OSD_LEN / 4;

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
 * Appends records to a region of memory. `at`, a multiple of 8, is where the next record begins; a
 * record is written completely or, when it does not fit, `RecordTooLarge` is thrown and `at` has
 * not moved.
 *
 * A verify is over in a microsecond, and the core's code has then driven this code out of the first
 * cache: what counts here is how little machine code runs. So the ways of `decide` are two
 * functions on locals, and fields are elements of one array of words: a method of a DataView takes
 * five times the code.
 */
export class RecordWriter {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  /** The same, two words at a time: for zeros alone, as an engine may alter other numbers. */
  readonly #pairs: Float64Array;
  readonly #longs: BigUint64Array;
  at = 0;
  /** Start of the record that was finished last. */
  #last = 0;
  #end = 0;

  /**
   * @param bytes the region, a view of the core's memory or a buffer of one's own
   * @throws RangeError for a view that does not begin at a multiple of 8
   */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    this.#pairs = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 3);
    this.#longs = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 3);
  }

  verify(request: VerifyRequest, tag = 0): void {
    let flags = request.tail === false ? 0 : FLAG_TAIL;
    if (request.reply) flags |= abi.FLAG_REPLY;
    if (request.secure) flags |= abi.FLAG_SECURE;
    if (request.session) flags |= FLAG_KEEP;
    if (request.secrets) flags |= abi.FLAG_SECRETS;
    if (request.unproven) flags |= abi.FLAG_UNPROVEN;
    this.#verify(request, flags, tag);
  }

  #verify(request: VerifyRequest | DecideRequest, flags: number, tag: number): void {
    const { authorizer, peer, service } = request;
    const words = this.#words;
    const at = this.at | 0;
    const length = authorizer.length | 0;
    const bytes = (VERIFY_LEN + length + 7) & ~7;
    this.#room(at, bytes);
    const first = at >> 2;
    this.#clear(first + HANDLE, first + VERIFY_WORDS);
    words[first] = bytes;
    words[first + KIND] = KIND_VERIFY | (flags << 16);
    words[first + SERVICE] = service | 0;
    words[first + TAG] = tag | 0;
    words[first + AUTHORIZER] = VERIFY_LEN;
    words[first + AUTHORIZER + 1] = length;
    if (peer !== undefined) this.#peer(first + VERIFY_PEER, peer);
    // The end, if it is not of the authorizer.
    if (length > 0) {
      words[((at + bytes) >> 2) - 1] = 0;
      words[((at + bytes) >> 2) - 2] = 0;
    }
    this.#bytes.set(authorizer, at + VERIFY_LEN);
    this.#last = at;
    this.at = at + bytes;
  }

  /** Two records: a verify, and a check of the session that it opens. */
  decide(request: DecideRequest, tag = 0): void {
    const begin = this.at;
    this.#verify(request, FLAG_KEEP | (request.tail ? FLAG_TAIL : 0), tag);
    try {
      // The session that the verify opens has the peer.
      this.#check(request, undefined, request.session ?? false, tag);
    } catch (error) {
      this.at = begin;
      throw error;
    }
    this.#words[(this.#last >> 2) + HANDLE] = -1;
    this.#words[(this.#last >> 2) + HANDLE + 1] = -1;
  }

  check(request: CheckRequest, tag = 0): void {
    this.#check(request, request.peer, false, tag);
    this.#handle(request.handle);
  }

  #check(
    request: CheckRequest | DecideRequest,
    peer: Address | undefined,
    keep: boolean,
    tag: number,
  ): void {
    const kind = request.explain ? KIND_EXPLAIN : KIND_CHECK;
    const flags = (request.tail ? FLAG_TAIL : 0) | (keep ? FLAG_KEEP : 0);
    if (request.service === ENTITY_TYPE_MDS) {
      this.#begin(kind, flags, request.service, tag, abi.MDS_LEN);
      this.#mdsOp(request.op as MdsOp, peer);
      this.#finish();
    } else this.#osd(kind | (flags << 16), request.service, tag, request.op as OsdOp, peer);
  }

  capsParse(service: ServiceId, text: Uint8Array, keep: boolean, tag = 0): void {
    const flags = FLAG_TAIL | (keep ? FLAG_KEEP : 0);
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
    this.#put(this.at + abi.SIGN_SCHEME, SCHEMES[scheme]);
    this.#part(abi.SIGN_BLOCK, block);
    if (signature !== undefined) this.#part(abi.SIGN_SIGNATURE, signature);
    this.#finish();
    this.#handle(handle);
  }

  #begin(kind: number, flags: number, service: number, tag: number, length: number): void {
    const { at } = this;
    this.#room(at, length);
    const words = this.#words;
    const first = at >> 2;
    this.#clear(first + HANDLE, (at + length) >> 2);
    words[first + KIND] = kind | (flags << 16);
    words[first + SERVICE] = service | 0;
    words[first + TAG] = tag | 0;
    this.#end = at + length;
  }

  /** A record is a multiple of 8 bytes, the last of which are zeros. */
  #finish(): void {
    const { at } = this;
    if ((at & 7) !== 0) throw new RangeError(`Cannot write a record at ${at}: expected 8 * n`);
    let end = this.#end;
    this.#room(end, -end & 7);
    for (; (end & 7) !== 0; end++) this.#bytes[end] = 0;
    this.#words[(at + abi.RECORD_BYTES) >> 2] = end - at;
    this.#last = at;
    this.at = end;
  }

  /** The handle of the record that was finished last. */
  #handle(handle: bigint): void {
    this.#longs[(this.#last + abi.RECORD_HANDLE) >> 3] = handle;
  }

  /** Zeros from word `first` to word `end`, both even. */
  #clear(first: number, end: number): void {
    const pairs = this.#pairs;
    for (let i = first >> 1; i < end >> 1; i++) pairs[i] = 0;
  }

  /** Whether `length` bytes fit at `at`. */
  #room(at: number, length: number): void {
    if (at + length > this.#bytes.length) this.#full();
  }

  #full(): never {
    throw new RecordTooLarge(
      `Cannot write a record: the request region has ${this.#bytes.length} bytes`,
    );
  }

  #put(at: number, word: number): void {
    this.#words[at >> 2] = word;
  }

  #part(field: number, bytes: Uint8Array): void {
    const { length } = bytes;
    this.#room(this.#end, length);
    this.#bytes.set(bytes, this.#end);
    this.#pair(this.at + field, this.#end, length);
    this.#end += length;
  }

  /** Appends UTF-8 and returns its length. `#end` moves behind it. */
  #append(text: string): number {
    // A UTF-16 unit takes at most three bytes of UTF-8.
    this.#room(this.#end, text.length * 3);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.#end));
    this.#end += written;
    return written;
  }

  /** Writes (offset from the record's start, length) at an absolute address. */
  #pair(at: number, start: number, length: number): void {
    this.#words[at >> 2] = start - this.at;
    this.#words[(at >> 2) + 1] = length;
  }

  /** The family as word `first` and the address behind it. */
  #peer(first: number, { family, bytes }: Address): void {
    const length = family === 4 ? 4 : 16;
    if (bytes.length !== length) refusePeer(family, length, bytes.length);
    const words = this.#words;
    words[first] = family | 0;
    for (let i = 0; i < length; i += 4) {
      words[first + 1 + (i >> 2)] =
        bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    }
  }

  /** A check of an operation of an OSD; `kind` has the flags in its upper half. */
  #osd(kind: number, service: number, tag: number, op: OsdOp, peer: Address | undefined): void {
    const words = this.#words;
    const bytes = this.#bytes;
    const at = this.at | 0;
    this.#room(at, OSD_LEN);
    const first = at >> 2;
    this.#clear(first + HANDLE, first + OSD_WORDS);
    words[first + KIND] = kind;
    words[first + SERVICE] = service | 0;
    words[first + TAG] = tag | 0;
    words[first + BITS] = (op.read ? OSD_READ : 0) | (op.write ? OSD_WRITE : 0);
    if (peer !== undefined) this.#peer(first + OSD_PEER, peer);
    let end = at + OSD_LEN;
    for (let field = 0; field < 3; field++) {
      const text = field === 0 ? op.pool : field === 1 ? op.namespace : op.object;
      if (text === undefined || text === '') continue;
      const start = end;
      const { length } = text;
      // Names are mostly short and ASCII: for those a loop beats the encoder.
      let codes = 0x80;
      if (length <= ASCII_LEN_MAX && start + length <= bytes.length) {
        codes = 0;
        for (let i = 0; i < length; i++) {
          const code = text.charCodeAt(i);
          codes |= code;
          bytes[start + i] = code;
        }
      }
      this.#end = start;
      end = codes < 0x80 ? start + length : start + this.#append(text);
      words[first + POOL + 2 * field] = start - at;
      words[first + POOL + 2 * field + 1] = end - start;
    }
    this.#end = end;
    if (op.classes !== undefined && op.classes.length > 0) this.#classes(op.classes);
    if (op.appMetadata !== undefined) this.#appMetadata(op.appMetadata);
    this.#finish();
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
      this.#put(entry + abi.OSD_CLASS_BITS, bits);
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
      this.#put(entry + abi.OSD_APP_NAME + 4, this.#append(application));
      if (key === undefined) {
        this.#put(entry + abi.OSD_APP_KEY, -1);
      } else {
        this.#pair(entry + abi.OSD_APP_KEY, this.#end, 0);
        this.#put(entry + abi.OSD_APP_KEY + 4, this.#append(key));
        this.#pair(entry + abi.OSD_APP_VALUE, this.#end, 0);
        this.#put(entry + abi.OSD_APP_VALUE + 4, this.#append(value));
      }
      entry += abi.OSD_APP_LEN;
    }
  }

  /** Reserves a zeroed array part, at a multiple of 4, and returns where its first entry is. */
  #array(field: number, length: number): number {
    const start = (this.#end + 3) & ~3;
    this.#room(start, length);
    this.#bytes.fill(0, this.#end, start + length);
    this.#end = start;
    this.#pair(this.at + field, start, length);
    this.#end += length;
    return start;
  }

  #text(field: number, text: string | undefined): void {
    if (text === undefined || text === '') return;
    const start = this.#end;
    this.#pair(this.at + field, start, this.#append(text));
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
    for (const [field, value] of words) this.#put(this.at + field, value);
    if (peer !== undefined) this.#peer((this.at + abi.MDS_PEER_FAMILY) >> 2, peer);
    const gids = op.callerGidList ?? [];
    if (gids.length === 0) return;
    let entry = this.#array(abi.MDS_GIDS, gids.length * 4);
    for (const gid of gids) {
      this.#put(entry, gid);
      entry += 4;
    }
  }
}

function refusePeer(family: number, length: number, got: number): never {
  throw new RangeError(
    `Cannot take "peer": an IPv${family} address has ${length} bytes, got ${got}`,
  );
}
