/**
 * RFC 9457 problem documents: what is wrong with a request or its caller. Decisions never come
 * this way: a denial is 200.
 */

import type { Reply } from './reply.ts';

/** Status by code; the closed list of everything that is not a decision. */
export const PROBLEM_STATUS = {
  'body.not_json': 400,
  'body.incomplete': 400,
  'body.not_frames': 400,
  'field.unknown': 400,
  'field.missing': 400,
  'field.type': 400,
  'field.value': 400,
  'field.conflict': 400,
  'query.unknown': 400,
  'service.unsupported': 400,
  'token.required': 401,
  'certificate.unknown': 403,
  'host.refused': 403,
  'origin.refused': 403,
  'right.missing': 403,
  'service.refused': 403,
  'sign.disabled': 403,
  'metrics.disabled': 403,
  'unchallenged.disabled': 403,
  'route.unknown': 404,
  'method.not_allowed': 405,
  'body.timeout': 408,
  'body.too_large': 413,
  'body.content_type': 415,
  'rate.limited': 429,
  internal: 500,
  'store.stale': 503,
  'store.unavailable': 503,
} as const;

export type ProblemCode = keyof typeof PROBLEM_STATUS;

/** Thrown by a route; the app answers it. `detail` holds no value that the caller sent. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ProblemCode, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.name = 'Problem';
    this.code = code;
    this.headers = headers;
  }

  /** The document as a response. */
  toResponse(): Response {
    const { status, type, body } = this.toReply();
    return new Response(body, { status, headers: { ...this.headers, 'content-type': type } });
  }

  toReply(): Reply & { readonly status: number } {
    const status = PROBLEM_STATUS[this.code];
    const document = {
      type: 'about:blank',
      title: STATUS_TITLES[status],
      status,
      code: this.code,
      detail: this.message,
    };
    const { headers } = this;
    return { status, headers, type: 'application/problem+json', body: JSON.stringify(document) };
  }
}

// With type about:blank the title is the phrase of the status (RFC 9457 section 4.2.1).
const STATUS_TITLES: Readonly<Record<(typeof PROBLEM_STATUS)[ProblemCode], string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
