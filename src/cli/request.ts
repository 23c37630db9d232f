/**
 * Calls of the command line to a sidecar: over TCP or over its unix socket.
 */

import { Buffer } from 'node:buffer';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { ConfigError, RequestError } from '../errors.ts';
import { codeOf, readPrivateFile } from '../http/files.ts';
import { EXIT_NO, EXIT_YES, type Io } from './io.ts';
import type { Settings } from './options.ts';
import { refuseTogether } from './settings.ts';

/**
 * POSTs a JSON body and returns the document of a 200. Throws RequestError for anything else: a
 * problem's code and detail are in the message.
 */
export async function call(
  settings: Settings,
  path: string,
  body: unknown,
): Promise<Readonly<Record<string, unknown>>> {
  const payload = JSON.stringify(body);
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'content-length': String(new TextEncoder().encode(payload).length),
  };
  const bearerFile = settings.text('bearer-file');
  if (bearerFile !== undefined) {
    headers.authorization = `Bearer ${readPrivateFile(bearerFile).trim()}`;
  }
  const { status, text } = await post({ ...placeOf(settings), path, headers }, payload);
  const document = parse(text);
  if (status === 200 && document !== undefined) return document;
  const { code, detail } = document ?? {};
  const why = code === undefined ? 'the answer is no problem document' : `${code}: ${detail}`;
  throw new RequestError('request.failed', `cannot ask the sidecar: ${status}: ${why}`);
}

/** Prints a decision as JSON or as lines, and returns the exit code. */
export function printDecision(
  io: Io,
  document: Readonly<Record<string, unknown>>,
  json: boolean,
): number {
  io.out(json ? `${JSON.stringify(document, null, 2)}\n` : lines(document));
  return document.decision === true ? EXIT_YES : EXIT_NO;
}

/** A document as `name value` lines; nested names are joined by dots. */
export function lines(document: Readonly<Record<string, unknown>>): string {
  const flat = flatten(document, '');
  const width = Math.max(...flat.map(([name]) => name.length));
  return flat.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function flatten(value: unknown, path: string): [string, string][] {
  if (value === null) return [[path, '-']];
  if (typeof value !== 'object') {
    return [[path, value === true ? 'yes' : value === false ? 'no' : printable(String(value))]];
  }
  return Object.entries(value).flatMap(([name, held]) =>
    held === undefined ? [] : flatten(held, path === '' ? name : `${path}.${name}`),
  );
}

/** Names and caps come from tickets: what steers a terminal is escaped. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

function placeOf(settings: Settings): RequestOptions {
  refuseTogether(settings, ['url', 'socket']);
  const socketPath = settings.text('socket');
  if (socketPath !== undefined) return { socketPath, host: 'localhost' };
  const text = settings.text('url') ?? DEFAULT_URL;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:') throw settings.wrong('url', 'http://HOST:PORT');
  if (url.pathname !== '/' || url.search !== '') {
    throw new ConfigError('config.value', 'the URL of a sidecar has no path');
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || 80 };
}

/**
 * POSTs text, unless the options name another method; gives status and text of the answer. Throws
 * RequestError if there is none.
 */
export function post(
  options: RequestOptions,
  payload: string | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void =>
      reject(new RequestError('request.failed', `cannot ask the sidecar: ${codeOf(error)}`));
    const all = { timeout: TIMEOUT_MS, method: 'POST', ...options };
    const request = httpRequest(all, (response) => {
      const chunks: Uint8Array[] = [];
      response.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      response.on('error', failed);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, text });
      });
    });
    request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    request.on('error', failed);
    request.end(payload);
  });
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

const DEFAULT_URL = 'http://127.0.0.1:6480';
const TIMEOUT_MS = 30_000;
