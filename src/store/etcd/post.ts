/**
 * One POST to one etcd member. Node's fetch takes no CA, so Node and Bun use `node:https`, Deno its
 * own client. Redirects are never followed and no address is taken from an answer.
 */

import * as http from 'node:http';
import * as https from 'node:https';

export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Ends the call, also in the middle of the answer. */
  readonly signal: AbortSignal;
}

export interface PostAnswer {
  readonly status: number;
  /** Throws PostError when the answer breaks off. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** No whole answer came. */
export class PostError extends Error {
  /** False if the request certainly was not sent, so it was not carried out either. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean) {
    super(message);
    this.name = 'PostError';
    this.sent = sent;
  }
}

export interface Poster {
  /** Throws PostError. */
  post(request: PostRequest): Promise<PostAnswer>;
  /** Ends idle connections. */
  close(): void;
}

/** @param ca certificates in PEM that alone are trusted; the system's if left out */
export function makePoster(ca: string | undefined): Poster {
  const deno = (globalThis as { readonly Deno?: DenoHttp }).Deno;
  return deno === undefined ? nodePoster(ca) : denoPoster(deno, ca);
}

function nodePoster(ca: string | undefined): Poster {
  const plain = new http.Agent(AGENT_OPTIONS);
  const secure = new https.Agent({ ...AGENT_OPTIONS, ...(ca !== undefined && { ca }) });
  return {
    post: ({ url, headers, body, signal }) =>
      new Promise((resolve, reject) => {
        const isSecure = url.startsWith('https:');
        const options = { method: 'POST', headers: headersOf(headers), signal };
        const request = isSecure
          ? https.request(url, { ...options, agent: secure })
          : http.request(url, { ...options, agent: plain });
        request.once('response', (response) => {
          resolve({ status: response.statusCode ?? 0, body: chunks(response) });
        });
        // Stays: an abort after the answer has begun is told here too.
        request.on('error', (error) => reject(postError(error)));
        request.end(body);
      }),
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}

function denoPoster(deno: DenoHttp, ca: string | undefined): Poster {
  const client = deno.createHttpClient(ca === undefined ? {} : { caCerts: [ca] });
  return {
    async post({ url, headers, body, signal }) {
      const init = { method: 'POST', headers: headersOf(headers), body, signal, client };
      try {
        const response = await fetch(url, { ...init, redirect: 'manual' });
        return { status: response.status, body: chunks(response.body ?? []) };
      } catch (error) {
        throw postError(error);
      }
    },
    close: () => client.close(),
  };
}

function headersOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return { 'content-type': 'application/json', ...headers };
}

async function* chunks(
  from: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* from;
  } catch (error) {
    throw postError(error, true);
  }
}

function postError(error: unknown, begun = false): PostError {
  const { code, message, cause } = error as NodeJS.ErrnoException;
  // Deno has no codes, and says what happened one level down.
  const why = cause instanceof Error ? cause.message : message;
  const unsent =
    code === undefined ? CONNECTING.test(why) : NOT_SENT.has(code) || CERTIFICATE.test(code);
  return new PostError(code ?? why, begun || !unsent);
}

interface DenoHttp {
  createHttpClient(options: { readonly caCerts?: readonly string[] }): { close(): void };
}

const AGENT_OPTIONS = { keepAlive: true, maxSockets: 256 } as const;
/** Errors of connecting. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
]);
const CONNECTING = /client error \(Connect\)/;
const CERTIFICATE = /CERT|SELF_SIGNED|ISSUER|VERIFY|ERR_TLS/;
