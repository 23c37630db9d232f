/**
 * The fixed profile of RFC 9421 under which administration over TCP is signed (interface section
 * 5): one signature, HMAC-SHA256, over exactly these components in this order, with exactly these
 * parameters. Whatever is written differently is no signature, so that two readers cannot differ.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../cephx/denc.ts';
import { decodeBase64, encodeBase64 } from './codec.ts';

/** The parts of a request that are signed, but for its headers. */
export interface SignedRequest {
  readonly method: string;
  /** Host and port as in `Host`, in lower case, without the port that the scheme has. */
  readonly authority: string;
  /** Of the URL, as it is sent. */
  readonly path: string;
  /** With its `?`, which stands alone if there is none. */
  readonly query: string;
  readonly headers: Headers;
}

export interface SignedResponse {
  readonly status: number;
  readonly headers: Headers;
}

/** What the two signature headers hold. */
export interface ReadSignature {
  readonly label: string;
  /** The member of `signature-input` without its label: it is signed as it came. */
  readonly params: string;
  /** The handle of the session. */
  readonly keyid: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly signature: Uint8Array;
}

/** The text that a key of one direction is derived from. */
export function keyLabel(direction: 'req' | 'resp', handle: string): Uint8Array {
  return utf8.encode(`cephgate admin v1 ${direction}${handle}`);
}

/** The value of `content-digest` (RFC 9530) of a body, which may be empty. */
export function contentDigest(body: Uint8Array): string {
  return `sha-256=:${encodeBase64(sha256(body))}:`;
}

/** Whether the headers have the digest of this body. */
export function digestMatches(headers: Headers, body: Uint8Array): boolean {
  return headers.get('content-digest') === contentDigest(body);
}

/** Adds the signature; all other headers must be there. */
export function signRequest(
  key: Uint8Array,
  request: SignedRequest,
  by: { readonly keyid: string; readonly created: number },
): void {
  const params = paramsOf(REQUEST_LIST, by);
  const signature = hmac(sha256, key, utf8.encode(requestBase(request, params)));
  request.headers.set('signature-input', `${LABEL}=${params}`);
  request.headers.set('signature', `${LABEL}=:${encodeBase64(signature)}:`);
}

/** The signature of a request as its headers have it; undefined if it is not of the profile. */
export function readRequestSignature(headers: Headers): ReadSignature | undefined {
  return readSignature(headers, () => REQUEST_LIST);
}

/** Whether the signature is by this key, over this request. */
export function requestMatches(
  key: Uint8Array,
  request: SignedRequest,
  { params, signature }: ReadSignature,
): boolean {
  const base = utf8.encode(requestBase(request, params));
  return equalBytes(signature, hmac(sha256, key, base));
}

/** Adds the signature of an answer to the request that was signed like this. */
export function signResponse(
  key: Uint8Array,
  response: SignedResponse,
  request: Pick<ReadSignature, 'label' | 'signature'>,
  by: { readonly keyid: string; readonly created: number },
): void {
  const params = paramsOf(responseList(request.label), by);
  const base = utf8.encode(responseBase(response, request, params));
  const signature = hmac(sha256, key, base);
  response.headers.set('signature-input', `${LABEL}=${params}`);
  response.headers.set('signature', `${LABEL}=:${encodeBase64(signature)}:`);
}

/** Whether the answer is by this key, and to the request that was signed like this. */
export function responseMatches(
  key: Uint8Array,
  response: SignedResponse,
  request: Pick<ReadSignature, 'label' | 'signature' | 'keyid'>,
): boolean {
  const found = readSignature(response.headers, () => responseList(request.label));
  if (found === undefined || found.keyid !== request.keyid) return false;
  const base = utf8.encode(responseBase(response, request, found.params));
  return equalBytes(found.signature, hmac(sha256, key, base));
}

function readSignature(headers: Headers, list: () => string): ReadSignature | undefined {
  const input = INPUT.exec(headers.get('signature-input') ?? '');
  const given = SIGNATURE.exec(headers.get('signature') ?? '');
  const [, label, components, parameters] = input ?? [];
  if (given === null || label === undefined || label !== given[1]) return undefined;
  if (components !== list()) return undefined;
  const signature = decodeBase64(given[2]!);
  const named = new Map(parameters!.split(';').map((each) => splitOnce(each, '=')));
  const created = /^[0-9]{1,11}$/.exec(named.get('created') ?? '')?.[0];
  const keyid = /^"([0-9a-f]{32})"$/.exec(named.get('keyid') ?? '')?.[1];
  // As many as are known: none twice, and no other.
  const isFull = named.size === 4 && parameters!.split(';').length === 4;
  const fits = named.get('alg') === `"${ALGORITHM}"` && named.get('tag') === `"${TAG}"`;
  if (!isFull || !fits || signature?.length !== SIGNATURE_LEN) return undefined;
  if (created === undefined || keyid === undefined) return undefined;
  const params = `${components};${parameters}`;
  return { label, params, keyid, created: Number(created), signature };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function requestBase(request: SignedRequest, params: string): string {
  const { method, authority, path, query, headers } = request;
  const lines = [
    `"@method": ${method}`,
    `"@authority": ${authority}`,
    `"@path": ${path}`,
    `"@query": ${query}`,
    ...SIGNED_HEADERS.map((name) => `"${name}": ${headers.get(name) ?? ''}`),
  ];
  return `${lines.join('\n')}\n"@signature-params": ${params}`;
}

function responseBase(
  { status, headers }: SignedResponse,
  request: Pick<ReadSignature, 'label' | 'signature'>,
  params: string,
): string {
  const lines = [
    `"@status": ${status}`,
    `"content-type": ${headers.get('content-type') ?? ''}`,
    `"content-digest": ${headers.get('content-digest') ?? ''}`,
    `"signature";req;key="${request.label}": :${encodeBase64(request.signature)}:`,
  ];
  return `${lines.join('\n')}\n"@signature-params": ${params}`;
}

function paramsOf(
  list: string,
  { keyid, created }: { readonly keyid: string; readonly created: number },
): string {
  return `${list};created=${created};keyid="${keyid}";alg="${ALGORITHM}";tag="${TAG}"`;
}

function responseList(label: string): string {
  return `("@status" "content-type" "content-digest" "signature";req;key="${label}")`;
}

/** Headers that every signed request has; their absence is no empty value. */
export const SIGNED_HEADERS = ['content-type', 'content-digest', 'cephgate-seq'] as const;
const REQUEST_LIST =
  '("@method" "@authority" "@path" "@query" "content-type" "content-digest" "cephgate-seq")';
const INPUT = /^([a-z][a-z0-9_.-]{0,31})=(\([^()]{1,200}\));([^,()\s]{1,200})$/;
const SIGNATURE = /^([a-z][a-z0-9_.-]{0,31})=:([A-Za-z0-9+/]{43}=):$/;
const SIGNATURE_LEN = 32;
const ALGORITHM = 'hmac-sha256';
const TAG = 'cephgate-admin-v1';
const LABEL = 'sig1';
const utf8 = new TextEncoder();
