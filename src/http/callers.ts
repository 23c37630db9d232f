/**
 * Who calls, and what they may ask (interface section 3.0). The listener decides: a unix socket
 * gives `accept` and `explain`, TCP gives `verify`, or what the bearer token or the client's
 * certificate is entitled to.
 */

import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../cephx/denc.ts';
import { FileError } from '../errors.ts';
import { encodeHex } from './codec.ts';
import type { HeaderLookup } from './headers.ts';
import { Problem } from './problem.ts';

/**
 * `verify`: verdicts. `accept`: replies, connection secrets, sessions, receipts, signatures: as
 * strong as a service secret. `explain`: unproven subjects and explanations.
 */
export type Right = 'verify' | 'accept' | 'explain';

/** One caller, as its listener knows it. `id` is bound into states, receipts and handles. */
export interface Caller {
  readonly id: string;
  readonly rights: ReadonlySet<Right>;
  /** Id of the request that this caller came with, for logs. */
  readonly requestId?: string | undefined;
}

/** A line of the token file; the token itself is not kept. */
export interface TokenEntry {
  /** SHA-256 of the token. */
  readonly hash: Uint8Array;
  readonly rights: ReadonlySet<Right>;
}

export type Listener =
  | { readonly kind: 'unix' }
  | {
      readonly kind: 'tcp';
      /** Values of `Host` that are ours, in lower case, with the port where it is not 80. */
      readonly hosts: ReadonlySet<string>;
      /** Set: every call needs a token. Unset: callers may only verify. */
      readonly tokens?: readonly TokenEntry[] | undefined;
      /** Set: the client has shown a certificate, and this is what its name may now. */
      readonly holder?: () =>
        | { readonly name: string; readonly rights: ReadonlySet<Right> }
        | undefined;
      /** Address of the other end. */
      readonly remote?: string | undefined;
    };

/**
 * Refuses what comes from a browser or under a foreign name: on loopback TCP that is how a web
 * page reaches us (DNS rebinding, CSRF). Throws Problem `origin.refused`, `host.refused`.
 */
export function refuseForeign(headers: HeaderLookup, listener: Listener): void {
  if (listener.kind === 'unix') return;
  for (const name of ['origin', 'sec-fetch-site']) {
    if (headers.has(name)) {
      throw new Problem('origin.refused', `requests with a "${name}" header are refused`);
    }
  }
  const host = headers.get('host');
  if (host === null || !listener.hosts.has(host.toLowerCase())) {
    throw new Problem('host.refused', 'the "host" header does not name this server');
  }
}

/** The caller of a request. Throws Problem `token.required`, `certificate.unknown`. */
export function callerOf(headers: HeaderLookup, listener: Listener): Caller {
  if (listener.kind === 'unix') return UNIX_CALLER;
  if (listener.holder !== undefined) {
    const held = listener.holder();
    if (held !== undefined) return { id: `certificate:${held.name}`, rights: held.rights };
    throw new Problem('certificate.unknown', 'no right is known for the name in the certificate');
  }
  if (listener.tokens === undefined) return TCP_CALLER;
  const given = /^Bearer +([\x21-\x7e]+) *$/i.exec(headers.get('authorization') ?? '');
  const hash = sha256(utf8.encode(given?.[1] ?? ''));
  let found: TokenEntry | undefined;
  // All entries are compared, so the time does not tell which one it was.
  for (const entry of listener.tokens) if (equalBytes(entry.hash, hash)) found = entry;
  if (given === null || found === undefined) {
    const challenge = { 'www-authenticate': 'Bearer' };
    throw new Problem('token.required', 'a known bearer token is required', challenge);
  }
  return { id: `token:${encodeHex(hash.subarray(0, 16))}`, rights: found.rights };
}

/** Throws Problem `right.missing` unless the caller has the right that `what` needs. */
export function requireRight(caller: Caller, right: Right, what: string): void {
  if (!caller.rights.has(right)) {
    throw new Problem('right.missing', `${what} needs the right "${right}"`);
  }
}

/**
 * Reads a token file: lines `RIGHT[,RIGHT] TOKEN`, empty lines and lines from `#` are skipped.
 * Throws FileError that names the line, never the token.
 */
export function parseTokens(text: string, file: string): TokenEntry[] {
  const entries: TokenEntry[] = [];
  for (const { rights, word: token, wrong } of parseRights(text, file, 'TOKEN')) {
    if (token.length < TOKEN_LEN_MIN) {
      throw wrong(`the token has ${token.length} characters: expected ${TOKEN_LEN_MIN} or more`);
    }
    const hash = sha256(utf8.encode(token));
    if (entries.some((entry) => equalBytes(entry.hash, hash))) {
      throw wrong('a token is given twice');
    }
    entries.push({ hash, rights });
  }
  return entries;
}

/** Lines `RIGHT[,RIGHT] WORD`, at least one; `what` is what the file calls the word. */
export function* parseRights(
  text: string,
  file: string,
  what: string,
): Generator<{ rights: ReadonlySet<Right>; word: string; wrong: (why: string) => FileError }> {
  let found = false;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(?:#.*)?$/.test(line)) continue;
    const wrong = (why: string): FileError =>
      new FileError('file.content', `cannot read "${file}": line ${index + 1}: ${why}`);
    const match = /^\s*([a-z,]+)[ \t]+([\x21-\x7e]+)\s*$/.exec(line);
    if (match === null) throw wrong(`expected RIGHT[,RIGHT] ${what}`);
    // Who holds `accept` may always ask for a plain verdict as well.
    const rights = new Set<Right>(['verify']);
    for (const right of match[1]!.split(',')) {
      if (right !== 'verify' && right !== 'accept') {
        throw wrong('a right is not one of verify, accept');
      }
      rights.add(right);
    }
    found = true;
    yield { rights, word: match[2]!, wrong };
  }
  if (!found) {
    const why = `it holds no ${what.toLowerCase()}`;
    throw new FileError('file.content', `cannot read "${file}": ${why}`);
  }
}

const UNIX_CALLER: Caller = { id: 'unix', rights: new Set(['verify', 'accept', 'explain']) };
const TCP_CALLER: Caller = { id: 'tcp', rights: new Set(['verify']) };
/** Short tokens can be guessed. */
const TOKEN_LEN_MIN = 16;
const utf8 = new TextEncoder();
