/**
 * JSON Schema of what the sidecar answers. Nothing is checked against it at run time; the tests
 * hold every answer that they get against it.
 */

import { REASON_CODES } from '../engine/codes.ts';
import { PROBLEM_STATUS } from './problem.ts';
import { type Schema, U64_PATTERN } from './schema.ts';

const STRING: Schema = { type: 'string' };
const FLAG: Schema = { type: 'boolean' };
const U64: Schema = { type: 'string', pattern: U64_PATTERN };
const BASE64: Schema = { type: 'string', contentEncoding: 'base64' };
const TIME: Schema = {
  type: 'string',
  pattern: '^[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z$',
};
const KEY_TYPE: Schema = { enum: ['none', 'aes', 'aes256k'] };

/** All of these fields are there, and of `more` those that the case calls for. */
function answer(
  fields: Readonly<Record<string, Schema>>,
  more: Record<string, Schema> = {},
): Schema {
  return {
    type: 'object',
    properties: { ...fields, ...more },
    required: Object.keys(fields),
    additionalProperties: false,
  };
}

const REASON: Schema = answer(
  { code: { enum: REASON_CODES } },
  { message: STRING, grant: { anyOf: [{ type: 'null' }, { type: 'integer', minimum: 0 }] } },
);

const DECIDED = { decision: FLAG, authenticated: FLAG, reason: REASON };
const ENDING = { snapshot: U64, decision_id: { type: 'string', pattern: '^[0-9a-f]{24}$' } };
const ERRNO = { client_errno: { enum: [-1, -13] } };

/** Schema of a decision with these further fields. */
function decisionSchema(fields: Record<string, Schema>): Schema {
  return answer({ ...DECIDED, ...ENDING }, { ...ERRNO, stale: { const: true }, ...fields });
}

/** What an answer to a verify may hold. */
const VERDICT_FIELDS: Record<string, Schema> = {
  challenge: BASE64,
  challenge_state: STRING,
  freshness: { enum: ['none', 'challenge', 'receipt'] },
  entity: STRING,
  global_id: U64,
  service: STRING,
  caps: { type: ['string', 'null'] },
  allow_all: FLAG,
  created: TIME,
  expires: TIME,
  expired: FLAG,
  secret_id: U64,
  ticket_key_type: KEY_TYPE,
  session_key_type: KEY_TYPE,
  integrity: { enum: ['mac', 'none'] },
  reply: BASE64,
  connection_secret: BASE64,
  session: STRING,
  receipt: STRING,
};

const CHECKED = { entity: STRING, grants: { type: 'array', items: { type: 'object' } } };

type AnswerName =
  | 'live'
  | 'ready'
  | 'version'
  | 'verify'
  | 'check'
  | 'checks'
  | 'release'
  | 'sign'
  | 'signVerify';

export const ANSWERS: Readonly<Record<AnswerName, Schema>> = {
  live: answer({ status: { const: 'live' } }),
  ready: answer(
    { status: { enum: ['ready', 'not ready'] } },
    {
      store_plaintext: { const: true },
      conditions: answer({ service_secrets: FLAG, not_draining: FLAG }, { store_fresh: FLAG }),
      store: answer(
        { snapshot: U64, age_seconds: { type: 'number', minimum: 0 }, stale: FLAG },
        { on_stale: { enum: ['serve', 'deny'] } },
      ),
      users: answer({
        entities: { type: 'integer', minimum: 0 },
        age_seconds: { type: ['number', 'null'], minimum: 0 },
        stale: FLAG,
      }),
      stale: { type: 'array', items: STRING },
      health: { type: 'array', items: STRING },
    },
  ),
  version: answer({
    version: STRING,
    abi: { type: 'integer' },
    build: STRING,
    reasons: answer({ version: { type: 'integer' }, codes: { type: 'array', items: STRING } }),
    key_types: { type: 'array', items: KEY_TYPE },
  }),
  verify: decisionSchema(VERDICT_FIELDS),
  check: decisionSchema(CHECKED),
  checks: answer(
    {
      answers: { type: 'array', items: answer(DECIDED, { ...ERRNO, ...CHECKED }) },
      ...ENDING,
    },
    { stale: { const: true } },
  ),
  release: answer({ released: FLAG }),
  sign: decisionSchema({ signature: BASE64 }),
  signVerify: decisionSchema({}),
};

/** RFC 9457. */
export const PROBLEM: Schema = answer({
  type: STRING,
  title: STRING,
  status: { enum: [...new Set(Object.values(PROBLEM_STATUS))] },
  code: { enum: Object.keys(PROBLEM_STATUS) },
  detail: STRING,
});
