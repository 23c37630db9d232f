/**
 * The headers of a request for look-ups. Node has them as an object already; the web's Headers
 * check name and value anew for each, and eight are asked for.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** As much of the web's Headers as is asked for. Names are in lower case. */
export type HeaderLookup = Pick<Headers, 'get' | 'has'>;

export function headersOf(request: Request, incoming: IncomingMessage | undefined): HeaderLookup {
  return (incoming && plainHeaders(incoming)) ?? request.headers;
}

/** Those of Node; undefined where a name came twice. */
export function plainHeaders({ headers, rawHeaders }: IncomingMessage): HeaderLookup | undefined {
  // Of what came twice Node keeps the first, or joins them: then all are looked at.
  const once = 2 * Object.keys(headers).length === rawHeaders.length;
  return once ? new NodeHeaders(headers) : undefined;
}

class NodeHeaders implements HeaderLookup {
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  get(name: string): string | null {
    const value = this.#headers[name];
    return typeof value === 'string' ? value : null;
  }

  has(name: string): boolean {
    return this.#headers[name] !== undefined;
  }
}
