/**
 * What goes into the engine and how it is configured; what comes out is in verdict.ts.
 */

/** CEPH_ENTITY_TYPE_* of a service, see ENTITY_TYPE_* in assembly/abi.ts. */
export type ServiceId = number;

/** utime: u32 seconds and u32 nanoseconds since 1970, exactly as on the wire. */
export interface Utime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A peer's socket address: 4 or 16 bytes in network order. */
export interface Address {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
}

export type Plausibility = 'released' | 'pr71231-order' | 'pr71231-span' | 'strict';
export type Expiry = 'enforce' | 'report' | 'ring';
export type KeyTypeName = 'none' | 'aes' | 'aes256k';

/** The rules under which a ticket is judged. Written by the host, never part of a record. */
export interface Policy {
  /** Plausibility checks on `aes`-sealed tickets. Default `pr71231-order`. */
  readonly plausibility: Plausibility;
  /** Default `enforce`. */
  readonly expiry: Expiry;
  /** Clock skew allowed when expiry is enforced, in nanoseconds. Default 300 s. */
  readonly skewNs: bigint;
  /** Key types that may seal a ticket; `ring`: whatever type the kept secret has. */
  readonly allowedTypes: 'ring' | readonly KeyTypeName[];
  /** Default `ticket`. */
  readonly sessionLifetime: 'ticket' | 'connection';
  /** Longest age of a session in nanoseconds, 0n for none. */
  readonly sessionMaxAgeNs: bigint;
  /** Ceph release whose grammar the caps parsers follow. Default 20. */
  readonly release: 16 | 20;
  /** General (non-rotating) secrets are usable. Default false. */
  readonly generalSecret: boolean;
  /** Compute msgr1 signatures for aes256k sessions, whose form is unconfirmed. Default false. */
  readonly msgr1Aes256k: boolean;
}

/** The challenge state of the connection that an authorizer came on. */
export type Challenge =
  /** None issued yet; `value` is a fresh random one that will be sealed for the client. */
  | { readonly mode: 'required'; readonly value: bigint }
  /** Issued; the authorizer must answer `value`. */
  | { readonly mode: 'issued'; readonly value: bigint }
  /** Not asked for. */
  | { readonly mode: 'off' };

/** What the host adds to one call. */
export interface HostContext {
  /** Now, in nanoseconds since 1970. */
  readonly nowNs: bigint;
  readonly policy?: Partial<Policy>;
}

export interface VerifyRequest {
  readonly service: ServiceId;
  /** CephXAuthorizer, parts a and b. */
  readonly authorizer: Uint8Array;
  readonly challenge: Challenge;
  readonly peer?: Address | undefined;
  /** Build the CephXAuthorizeReply, or the sealed challenge when one is required. */
  readonly reply?: boolean;
  /** Put a fresh connection secret into the reply. */
  readonly secure?: boolean;
  /** Open a session. */
  readonly session?: boolean;
  /** Hand out the session key, nonce and connection secret. */
  readonly secrets?: boolean;
  /** Fill the verdict with what was decoded even if nothing was proved. */
  readonly unproven?: boolean;
  /** Entity and caps in the verdict. Default true. */
  readonly tail?: boolean;
}

export interface ClassCall {
  readonly name: string;
  readonly method: string;
  readonly read: boolean;
  readonly write: boolean;
  /** The class is in osd_class_default_list. */
  readonly allowListed: boolean;
}

export interface OsdOp {
  readonly pool: string;
  readonly namespace?: string;
  /** The locator key if there is one, else the object name; empty for operations on a PG. */
  readonly object?: string;
  readonly read?: boolean;
  readonly write?: boolean;
  readonly classes?: readonly ClassCall[];
  /** application -> key -> value. */
  readonly appMetadata?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface MdsOp {
  /** Without leading slash. */
  readonly path: string;
  readonly inodeUid: number;
  readonly inodeGid: number;
  /** File mode, 0o755 for example. */
  readonly inodeMode: number;
  readonly callerUid: number;
  readonly callerGid: number;
  readonly callerGidList?: readonly number[] | null;
  /** MAY_* bits. */
  readonly mask: number;
  readonly newUid?: number;
  readonly newGid?: number;
  readonly fs?: string;
}

export interface CheckRequest {
  readonly service: ServiceId;
  /** Handle of a session (from `verify`) or of compiled caps (from `capsParse`). */
  readonly handle: bigint;
  /** The operation: OSD for service osd, MDS for service mds. */
  readonly op: OsdOp | MdsOp;
  readonly peer?: Address | undefined;
  /** Add the detail per grant. */
  readonly explain?: boolean;
  /** The session's entity in the verdict. Default false. */
  readonly tail?: boolean;
}

/** An authorizer and an operation of its client: `verify` and `check` in one. */
export interface DecideRequest {
  readonly service: ServiceId;
  readonly authorizer: Uint8Array;
  readonly challenge: Challenge;
  readonly peer?: Address | undefined;
  readonly op: OsdOp | MdsOp;
  /** Leave a session behind, whose handle the verdict carries. Default false. */
  readonly session?: boolean;
  /** Add the detail per grant. */
  readonly explain?: boolean;
  /** The entity in the verdict. Default false. */
  readonly tail?: boolean;
}

export type SignatureScheme = 'msgr1-legacy' | 'msgr1' | 'msgr2-auth';

export interface ServiceSecret {
  readonly service: ServiceId;
  /** Secret id; 2^64-1 is the general secret of the service. */
  readonly secretId: bigint;
  /** Encoded CryptoKey. */
  readonly key: Uint8Array;
  /** Expiration in nanoseconds since 1970, when known. */
  readonly expiresNs?: bigint | undefined;
}

export type Build = 'simd' | 'plain' | 'relaxed';
export type Preset = 'small' | 'server' | 'large';

export interface EngineOptions {
  /** Memory taken at start: 4 MiB, 64 MiB or 512 MiB. Default `server`. */
  readonly preset?: Preset;
  /** Which build of the core; `auto` takes relaxed, else simd, else plain, by validation. */
  readonly build?: Build | 'auto';
  /** The module itself (needed where compiling bytes is refused) or its bytes. */
  readonly wasm?: WebAssembly.Module | Uint8Array;
  /** Fills the array with random bytes. Default `crypto.getRandomValues`. */
  readonly random?: (into: Uint8Array) => void;
  /**
   * Keep opened tickets, so that the next authorizer with the same ticket costs less. Decisions are
   * never kept. Default false.
   */
  readonly ticketCache?: boolean;
}

/** Counters of the ticket cache since the start; all but `held` and `max` wrap at 2^32. */
export interface TicketCacheStats {
  readonly hits: number;
  /** Look-ups that found nothing. */
  readonly misses: number;
  /** Times that it was emptied while it held something: ring, policy or `cacheClear`. */
  readonly emptied: number;
  /** Tickets that gave way to another one. */
  readonly evicted: number;
  /** Tickets held now, and at most. */
  readonly held: number;
  readonly max: number;
}
