/**
 * What the host does with one record before the core sees it: rights, ownership of the session,
 * freshness. It never adds to what was asked. A record that this caller may not send is given a
 * flag that does not exist, so that the core answers `record.malformed` in its place.
 */

import * as abi from '../../assembly/abi.ts';
import type { Address, Challenge } from '../engine/types.ts';
import type { AppDeps } from './deps.ts';
import type { FrameOwner, FrameOwners } from './frameowners.ts';
import { challengeOf, type Freshness, type FreshnessRequest, freshnessOf } from './freshness.ts';
import { Problem } from './problem.ts';
import { deniesAll } from './staleness.ts';

/** What the host must know of a record when its verdict is there. */
export interface Prepared {
  readonly challenge: Challenge;
  /** Set for a verify record of a caller with `accept`. */
  readonly verify?: { readonly request: FreshnessRequest; readonly freshness: Freshness };
  /** The session is too old although the core does not know it. */
  readonly expired?: boolean;
  /** Nothing is decided now. */
  readonly stale?: boolean;
}

/** The records of one call of the core, and who sent them. */
export interface FrameCall {
  readonly deps: AppDeps;
  readonly owner: FrameOwner;
  readonly owners: FrameOwners;
  /** Whether the owner may ask for what only the service gets. */
  readonly accepts: boolean;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly nowNs: bigint;
}

/** Prepares the record at `at`, which lies wholly within the call's bytes. */
export function prepareRecord(call: FrameCall, at: number): Prepared {
  const kind = call.view.getUint16(at + abi.RECORD_KIND, true);
  const flags = call.view.getUint16(at + abi.RECORD_FLAGS, true);
  const { rights } = call.owner.caller;
  if (deniesAll(call.deps)) return { ...refuse(call, at), stale: true };
  if ((flags & ~(FLAGS_OF_KIND[kind] ?? 0)) !== 0) return refuse(call, at);
  switch (kind) {
    case abi.KIND_VERIFY:
      return prepareVerify(call, at, flags);
    case abi.KIND_EXPLAIN:
      if (!rights.has('explain')) return refuse(call, at);
      return prepareHandle(call, at);
    case abi.KIND_CHECK:
      return prepareHandle(call, at);
    case abi.KIND_CAPS_PARSE:
      return rights.has('explain') ? PLAIN : refuse(call, at);
    case abi.KIND_SIGN:
    case abi.KIND_SIGN_VERIFY:
      if (!call.deps.sign || !call.accepts) return refuse(call, at);
      return prepareHandle(call, at);
    default:
      return refuse(call, at);
  }
}

/** Whether the record at `at` names the session of the record before it. */
export function meansPrevious(view: DataView, at: number): boolean {
  const kind = view.getUint16(at + abi.RECORD_KIND, true);
  return (
    (kind === abi.KIND_CHECK || kind === abi.KIND_EXPLAIN) &&
    view.getUint32(at + abi.RECORD_HANDLE, true) === abi.HANDLE_PREVIOUS &&
    view.getUint32(at + abi.RECORD_HANDLE + 4, true) === abi.HANDLE_PREVIOUS
  );
}

function prepareVerify(call: FrameCall, at: number, flags: number): Prepared {
  const { view, owner } = call;
  const length = view.getUint32(at + abi.RECORD_BYTES, true);
  const service = view.getUint32(at + abi.RECORD_SERVICE, true);
  // The monitors' own services belong to the admin listener.
  if (length < abi.VERIFY_LEN || !isServed(service)) return refuse(call, at);
  if (!call.accepts) {
    return asksMore(call, at, flags) ? refuse(call, at) : UNCHALLENGED;
  }
  const authorizer = part(call, at, length, abi.VERIFY_AUTHORIZER);
  const connection = text(call, at, length, abi.VERIFY_CONNECTION, CONNECTION_LEN_MAX);
  const state = text(call, at, length, abi.VERIFY_CHALLENGE_STATE, TOKEN_LEN_MAX);
  const receipt = text(call, at, length, abi.VERIFY_RECEIPT, TOKEN_LEN_MAX);
  if (!authorizer || connection === null || state === null || receipt === null) {
    return refuse(call, at);
  }
  if ((flags & abi.FLAG_SECURE) !== 0 && (flags & abi.FLAG_REPLY) === 0) return refuse(call, at);
  // Too long to be one: the core says so, and there is nothing to bind a challenge to.
  if (authorizer.length > abi.AUTHORIZER_LEN_MAX) return PLAIN;
  const peer = peerOf(call, at);
  if (peer === null) return refuse(call, at);
  const request: FreshnessRequest = {
    authorizer,
    peer,
    connection,
    challenge_state: state,
    receipt,
    expected_challenge: undefined,
    allow_unchallenged_verdict: undefined,
  };
  let freshness: Freshness;
  try {
    freshness = freshnessOf(call.deps, owner.caller, service, request, call.nowNs);
  } catch (error) {
    if (error instanceof Problem) return refuse(call, at);
    throw error;
  }
  view.setUint16(at + abi.RECORD_FLAGS, flagsFor(freshness, flags), true);
  return { challenge: challengeOf(freshness), verify: { request, freshness } };
}

function isServed(service: number): boolean {
  return (
    service === abi.ENTITY_TYPE_OSD ||
    service === abi.ENTITY_TYPE_MDS ||
    service === abi.ENTITY_TYPE_MGR
  );
}

/** Whether a record asks for what only a caller with `accept` gets. No part is looked at. */
function asksMore({ view }: FrameCall, at: number, flags: number): boolean {
  if ((flags & (abi.FLAG_REPLY | abi.FLAG_SECURE | abi.FLAG_KEEP)) !== 0) return true;
  const lengthOf = (field: number): number => view.getUint32(at + field + 4, true);
  return (
    lengthOf(abi.VERIFY_CONNECTION) > CONNECTION_LEN_MAX ||
    lengthOf(abi.VERIFY_CHALLENGE_STATE) > 0 ||
    lengthOf(abi.VERIFY_RECEIPT) > 0
  );
}

/** The flags that may take effect: what /v1/verify would hand out, and no more. */
function flagsFor(freshness: Freshness, flags: number): number {
  switch (freshness.kind) {
    case 'issued':
      // The connection secret is for the service too; the host takes it from the secret block.
      return (flags & abi.FLAG_SECURE) === 0 ? flags : flags | abi.FLAG_SECRETS;
    case 'receipt':
      return flags & ~(abi.FLAG_REPLY | abi.FLAG_SECURE);
    case 'required':
      return flags & ~(abi.FLAG_KEEP | abi.FLAG_SECURE);
    default:
      return flags & abi.FLAG_TAIL;
  }
}

/** A handle of somebody else becomes 0, which no session has. */
function prepareHandle(call: FrameCall, at: number): Prepared {
  const { view, owner, owners, deps } = call;
  if (meansPrevious(view, at)) return PLAIN;
  const low = view.getUint32(at + abi.RECORD_HANDLE, true);
  const high = view.getUint32(at + abi.RECORD_HANDLE + 4, true);
  const handle = (BigInt(high) << 32n) | BigInt(low);
  if (low > 0x7fff_ffff) {
    if (!owner.caps.has(handle)) view.setBigUint64(at + abi.RECORD_HANDLE, 0n, true);
    return PLAIN;
  }
  if (!owners.owns(owner, low, high)) {
    view.setBigUint64(at + abi.RECORD_HANDLE, 0n, true);
    return PLAIN;
  }
  // The core counts a session's age from when it was opened; one that came by receipt is older.
  const ageMax = deps.policy.sessionMaxAgeNs ?? 0n;
  if (ageMax === 0n || call.nowNs - owners.answeredNs(low) < ageMax) return PLAIN;
  view.setBigUint64(at + abi.RECORD_HANDLE, 0n, true);
  owners.forget(owner, handle);
  deps.engine.sessionRelease(handle);
  return EXPIRED;
}

function refuse(call: FrameCall, at: number): Prepared {
  call.view.setUint16(at + abi.RECORD_FLAGS, FLAG_UNKNOWN, true);
  return PLAIN;
}

/** A variable part; undefined if it does not lie in the record, which the core then says too. */
function part(call: FrameCall, at: number, length: number, field: number): Uint8Array | undefined {
  const offset = call.view.getUint32(at + field, true);
  const size = call.view.getUint32(at + field + 4, true);
  if (size === 0) return NONE;
  if (offset < abi.VERIFY_LEN || offset + size > length) return undefined;
  return call.bytes.subarray(at + offset, at + offset + size);
}

/** A part as text, undefined if it is empty, null if it is none. */
function text(
  call: FrameCall,
  at: number,
  length: number,
  field: number,
  max: number,
): string | undefined | null {
  const bytes = part(call, at, length, field);
  if (bytes === undefined || bytes.length > max) return null;
  if (bytes.length === 0) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

function peerOf(call: FrameCall, at: number): Address | undefined | null {
  const family = call.view.getUint32(at + abi.VERIFY_PEER_FAMILY, true);
  if (family === 0) return undefined;
  if (family !== 4 && family !== 6) return null;
  const start = at + abi.VERIFY_PEER;
  return { family, bytes: call.bytes.subarray(start, start + (family === 4 ? 4 : 16)) };
}

/** No challenge was issued and none can be answered. */
const PLAIN: Prepared = { challenge: { mode: 'required', value: 0n } };
const EXPIRED: Prepared = { ...PLAIN, expired: true };
/** A caller that gets nothing but the verdict needs no challenge. */
const UNCHALLENGED: Prepared = { challenge: { mode: 'off' } };

const FLAGS_OF_KIND: Readonly<Record<number, number>> = {
  [abi.KIND_VERIFY]: abi.FLAG_TAIL | abi.FLAG_REPLY | abi.FLAG_SECURE | abi.FLAG_KEEP,
  [abi.KIND_CHECK]: abi.FLAG_TAIL | abi.FLAG_KEEP,
  [abi.KIND_EXPLAIN]: abi.FLAG_TAIL | abi.FLAG_KEEP,
  [abi.KIND_CAPS_PARSE]: abi.FLAG_TAIL | abi.FLAG_KEEP,
  [abi.KIND_SIGN]: abi.FLAG_TAIL,
  [abi.KIND_SIGN_VERIFY]: abi.FLAG_TAIL,
};
/** A bit outside of FLAGS_ALL. */
const FLAG_UNKNOWN = 0x8000;
const CONNECTION_LEN_MAX = 64;
const TOKEN_LEN_MAX = 512;
const NONE = new Uint8Array(0);
// ignoreBOM: two names that differ in a byte order mark are two connections.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
