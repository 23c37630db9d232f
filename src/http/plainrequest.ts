/**
 * A request in the form in which clients of the sidecar send one: a POST whose head is there in one
 * read, with nothing in it that asks for more than to be looked up, and nothing behind its body.
 *
 * Of RFC 9112 this knows a part, and takes that part in its strictest form. What is not in it is
 * not wrong: it is left to Node's own parser, which judges it.
 */

import type { Buffer } from 'node:buffer';
import type { HeaderLookup } from './headers.ts';

export interface PlainRequest {
  /** Without a query: of that there is none. */
  readonly path: string;
  readonly headers: HeaderLookup;
  /** What is there of the body. */
  readonly pieces: readonly Uint8Array[];
  /** Bytes of the body that are still to come. */
  readonly missing: number;
  /** When it began to be read, by performance.now(). */
  readonly startedMs: number;
}

/** The request that these bytes begin; undefined for all else. Never throws. */
export function parsePlain(bytes: Buffer): PlainRequest | undefined {
  const startedMs = performance.now();
  const text = bytes.toString('latin1', 0, Math.min(bytes.length, HEAD_LEN_MAX));
  const headEnd = text.indexOf('\r\n\r\n');
  const lineEnd = text.indexOf('\r\n');
  const path = REQUEST_LINE.exec(text.slice(0, Math.max(0, lineEnd)))?.[1];
  if (path === undefined) return undefined;
  const headers = new PlainHeaders();
  for (let at = lineEnd + 2; at < headEnd + 2; ) {
    const end = text.indexOf('\r\n', at);
    if (!headers.take(text.slice(at, end))) return undefined;
    at = end + 2;
  }
  // Without an end of the head there are no headers, and so no length either.
  const length = LENGTH.exec(headers.get('content-length') ?? '')?.[0];
  const bodyAt = headEnd + 4;
  const missing = bodyAt + Number(length) - bytes.length;
  if (length === undefined || missing < 0) return undefined;
  // RFC 9112 section 3.2.
  if (!headers.has('host')) return undefined;
  return { path, headers, pieces: [bytes.subarray(bodyAt)], missing, startedMs };
}

class PlainHeaders implements HeaderLookup {
  readonly #values = new Map<string, string>();

  get(name: string): string | null {
    return this.#values.get(name) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Takes a line of the head; false for one that is not plain, or whose name is there already. */
  take(line: string): boolean {
    const colon = line.indexOf(':');
    if (colon < 0) return false;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1);
    if (!NAME.test(name) || !VALUE.test(value)) return false;
    const bare = value.trim();
    if (ASKS_MORE.has(name) || (name === 'connection' && bare.toLowerCase() !== 'keep-alive')) {
      return false;
    }
    if (this.#values.has(name)) return false;
    this.#values.set(name, bare);
    return true;
  }
}

/** Longest head, in bytes: a token and some headers of a proxy have room. */
const HEAD_LEN_MAX = 2_048;
const REQUEST_LINE = /^POST (\/[a-z0-9/]*) HTTP\/1\.1$/;
/** RFC 9110 section 5.6.2, in lower case. */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** Visible ASCII, spaces and tabs: no line ends by themselves, no bytes of other alphabets. */
const VALUE = /^[\x20-\x7e\t]*$/;
const LENGTH = /^(?:0|[1-9][0-9]{0,9})$/;
/** What says how the message is framed, or asks for another answer than the one. */
const ASKS_MORE: ReadonlySet<string> = new Set([
  ...['transfer-encoding', 'trailer', 'te', 'expect', 'upgrade', 'proxy-connection'],
]);
