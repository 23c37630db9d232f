/**
 * Where `cephgate client` finds its server: over TCP with the fetch of the runtime, or over a unix
 * socket with one of our own.
 */

import { Buffer } from 'node:buffer';
import { request as httpRequest } from 'node:http';
import type { Fetch, HttpOptions } from '../cephx/httpclient.ts';
import { ConfigError } from '../errors.ts';
import { readPrivateFile } from '../http/files.ts';
import type { Settings } from './options.ts';
import { refuseTogether } from './settings.ts';

/** The server that CLIENT_OPTIONS name. Throws ConfigError, FileError. */
export function placeOf(settings: Settings): HttpOptions {
  refuseTogether(settings, ['url', 'socket']);
  const bearerFile = settings.text('bearer-file');
  const headers =
    bearerFile === undefined
      ? {}
      : { authorization: `Bearer ${readPrivateFile(bearerFile).trim()}` };
  const socketPath = settings.text('socket');
  if (socketPath !== undefined) {
    return { url: 'http://localhost', fetch: socketFetch(socketPath), headers };
  }
  const text = settings.text('url') ?? DEFAULT_URL;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw settings.wrong('url', 'http://HOST:PORT or https://HOST:PORT');
  }
  if (url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new ConfigError('config.value', 'the URL of a sidecar has no path and no name');
  }
  return { url: url.origin, headers };
}

/** A fetch to a unix socket; the host of the URL goes into the Host header only. */
export function socketFetch(socketPath: string): Fetch {
  return (url, init) =>
    new Promise((resolve, reject) => {
      const { host, pathname } = new URL(url);
      const body = init.body as Uint8Array;
      const headers = {
        ...(init.headers as Record<string, string>),
        host,
        'content-length': String(body.length),
      };
      const signal = init.signal ?? undefined;
      const options = {
        socketPath,
        path: pathname,
        method: init.method ?? 'POST',
        headers,
        ...(signal && { signal }),
      };
      const request = httpRequest(options, (response) => {
        const chunks: Uint8Array[] = [];
        let len = 0;
        response.on('data', (chunk: Uint8Array) => {
          len += chunk.length;
          if (len > ANSWER_LEN_MAX) request.destroy(new Error('too long'));
          else chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () => {
          const given = Object.entries(response.headers).filter(
            (entry): entry is [string, string] => typeof entry[1] === 'string',
          );
          const status = response.statusCode ?? 0;
          resolve(new Response(Buffer.concat(chunks), { status, headers: given }));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
}

const DEFAULT_URL = 'http://127.0.0.1:6480';
/** As the client over HTTP reads at most. */
const ANSWER_LEN_MAX = 262_144;
