/**
 * The OpenAPI 3.1 document of the sidecar. What a request may hold is told by the very fields that
 * read it (schema.ts); answers are in answers.ts, and the tests hold both against what is served.
 */

import { ANSWERS, PROBLEM } from './answers.ts';
import type { Field } from './body.ts';
import { checkRequest } from './check.ts';
import { checksRequest } from './checks.ts';
import { type Schema, schemaOf } from './schema.ts';
import { signRequest, signVerifyRequest } from './sign.ts';
import { verifyRequest } from './verify.ts';

type Body = { readonly json: Schema } | { readonly octets: string } | { readonly text: string };

interface RouteDocument {
  readonly summary: string;
  /** The right that the caller needs; none: anybody may ask. */
  readonly right?: 'verify' | 'accept';
  readonly request?: Body | undefined;
  readonly answer: Body;
  /** Names and schemas of what the query may hold. */
  readonly query?: Readonly<Record<string, Schema>>;
  readonly headers?: readonly string[];
  /** Statuses of the answer besides 200. */
  readonly also?: readonly number[];
}

/** The document; `version` is that of the package. */
export function openApiDocument(version: string): Schema {
  const paths: Record<string, Schema> = {};
  for (const [route, document] of Object.entries(GETS)) {
    paths[pathOf(route)] = { get: operationOf(route, document) };
  }
  for (const [route, document] of Object.entries(POSTS)) {
    paths[pathOf(route)] = { post: operationOf(route, document) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'cephgate', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      schemas: { Problem: PROBLEM },
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(route: string, document: RouteDocument): Schema {
  const { summary, right, request, answer, query = {}, headers = [], also = [] } = document;
  const parameters = [
    ...[...route.matchAll(/:([a-z_]+)/g)].map(([, name]) => ({
      ...{ name, in: 'path', required: true, schema: { type: 'string' } },
    })),
    ...Object.entries(query).map(([name, schema]) => ({ name, in: 'query', schema })),
    ...['cephgate-request-id', ...headers].map((name) => ({
      ...{ name, in: 'header', schema: { type: 'string' } },
    })),
  ];
  const answered = { description: 'The answer.', content: contentOf(answer) };
  const problem = {
    'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
  };
  return {
    summary,
    operationId: operationIdOf(route),
    ...(right !== undefined && {
      'x-cephgate-right': right,
      // A unix socket, and loopback TCP for `verify`, need no token.
      security: [{}, { bearer: [] }],
    }),
    parameters,
    ...(request !== undefined && { requestBody: { required: true, content: contentOf(request) } }),
    responses: {
      200: answered,
      ...Object.fromEntries(also.map((status) => [status, answered])),
      default: { description: 'What is wrong with the request or its caller.', content: problem },
    },
  };
}

function contentOf(body: Body): Schema {
  if ('json' in body) return { 'application/json': { schema: body.json } };
  if ('text' in body)
    return { 'text/plain': { schema: { type: 'string', description: body.text } } };
  return { 'application/octet-stream': { schema: { description: body.octets } } };
}

function pathOf(route: string): string {
  return route.replaceAll(/:([a-z_]+)/g, '{$1}');
}

function operationIdOf(route: string): string {
  const words = route.split(/[^a-z0-9]+/).filter((word) => word !== '' && word !== 'v1');
  return words.join('_');
}

function jsonOf(field: Field<unknown>): Body {
  return { json: schemaOf(field) };
}

const FLAG_QUERY: Schema = { enum: ['true', 'false'] };

const GETS: Readonly<Record<string, RouteDocument>> = {
  '/livez': { summary: 'The process runs.', answer: { json: ANSWERS.live } },
  '/readyz': {
    summary: 'The process can decide.',
    answer: { json: ANSWERS.ready },
    query: { verbose: {} },
    also: [503],
  },
  '/version': { summary: 'Versions, reasons and key types.', answer: { json: ANSWERS.version } },
  '/metrics': { summary: 'Metrics for Prometheus.', answer: { text: 'exposition format 0.0.4' } },
  '/openapi.json': { summary: 'This document.', answer: { json: { type: 'object' } } },
};

const POSTS: Readonly<Record<string, RouteDocument>> = {
  '/v1/verify': {
    summary: 'Who is this? Verifies an authorizer.',
    right: 'verify',
    request: jsonOf(verifyRequest),
    answer: { json: ANSWERS.verify },
  },
  '/v1/check': {
    summary: 'May it? Checks one operation.',
    right: 'verify',
    request: jsonOf(checkRequest),
    answer: { json: ANSWERS.check },
    query: { explain: FLAG_QUERY },
  },
  '/v1/checks': {
    summary: 'Checks many operations, answered in order.',
    right: 'verify',
    request: jsonOf(checksRequest),
    answer: { json: ANSWERS.checks },
    query: { explain: FLAG_QUERY },
  },
  '/v1/frames': {
    summary: 'Answers records of the core, back to back.',
    right: 'verify',
    request: { octets: 'request records of the core' },
    answer: { octets: 'verdict records of the core' },
  },
  '/v1/sessions/:handle/release': {
    summary: 'Ends a session.',
    right: 'accept',
    answer: { json: ANSWERS.release },
  },
  '/v1/sign': {
    summary: "Signs a message with a session's key.",
    right: 'accept',
    request: jsonOf(signRequest),
    answer: { json: ANSWERS.sign },
  },
  '/v1/sign/verify': {
    summary: 'Checks the signature of a message.',
    right: 'accept',
    request: jsonOf(signVerifyRequest),
    answer: { json: ANSWERS.signVerify },
  },
  '/v1/cephx/hello': {
    summary: 'First exchange of a login: the server challenge.',
    right: 'verify',
    request: { octets: 'the first payload of CEPH_AUTH_CEPHX' },
    answer: { octets: 'the payload of the server' },
  },
  '/v1/cephx/request': {
    summary: 'A request of cephx: session key, service tickets, rotating secrets.',
    right: 'verify',
    request: { octets: 'CephXRequestHeader and its request' },
    answer: { octets: 'CephXResponseHeader and its response' },
    headers: ['cephgate-exchange'],
  },
};
