/**
 * POST /v1/sign and /v1/sign/verify: message signatures with a session's key (interface section
 * 3.5). Whoever may sign can speak as the client or the daemon, so this needs `accept` and is off
 * unless enabled.
 */

import type { Context } from 'hono';
import { entityTypeName } from '../cephx/protocol.ts';
import { encodeMessageBlock } from '../cephx/signature.ts';
import type { SignatureScheme } from '../engine/types.ts';
import { base64, type Field, object, oneOf, readBody, text, u32, u64, wrongValue } from './body.ts';
import { sent } from './bodybytes.ts';
import { requireRight } from './callers.ts';
import { sessionOf } from './check.ts';
import { encodeBase64 } from './codec.ts';
import { answer, type Decision, denial, reasonOf } from './decision.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { Problem } from './problem.ts';
import { ERRNO_VERIFY } from './reasons.ts';
import type { Reply } from './reply.ts';
import { described, objectSchema, type Schema, schemaOf, U64_PATTERN } from './schema.ts';
import type { Session } from './sessions.ts';
import { deniesAll, STALE_CHECK } from './staleness.ts';

const scheme = oneOf(['msgr1-legacy', 'msgr1', 'msgr2-auth'] as const);
// Read when the scheme is known.
const block: Field<unknown> = described({}, (value) => value);
const SIGN = { session: text(1, 128), scheme, block };
const SIGN_VERIFY = { ...SIGN, signature: base64(1, 64) };
const readSign = described(() => signSchema(SIGN), object(SIGN));
const readSignVerify = described(() => signSchema(SIGN_VERIFY), object(SIGN_VERIFY));
/** What a request may hold. */
export const signRequest: Field<unknown> = readSign;
export const signVerifyRequest: Field<unknown> = readSignVerify;

const SEQUENCE = {
  anyOf: [
    { type: 'string', pattern: U64_PATTERN },
    { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  ],
};

/** A u64 as a decimal string, or as a number where JSON still holds it exactly. */
const sequence: Field<bigint> = described(SEQUENCE, (value, at) => {
  if (typeof value !== 'number') return u64(value, at);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw wrongValue(at, 'a whole number, in a string above 2^53');
  }
  return BigInt(value);
});

const readNumbers = object({
  header_crc: u32,
  front_crc: u32,
  front_len: u32,
  middle_crc: u32,
  middle_len: u32,
  data_crc: u32,
  data_len: u32,
  seq: sequence,
});
const readBytesBlock = object({ bytes: base64(0, 65_536) });

export async function signRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Reply> {
  requireSigning(c, deps);
  const request = await readBody(sent(c), readSign, deps.body);
  const block = blockOf(request.scheme, request.block);
  return withSession(c, deps, 'sign', request.session, (session, host) => {
    const { core, service } = session;
    const verdict = deps.engine.sign(service, core, request.scheme, block, host);
    if (!verdict.decision || verdict.reply === undefined) {
      return denial(verdict.reason, ERRNO_VERIFY);
    }
    return { ...PROVED, signature: encodeBase64(verdict.reply) };
  });
}

export async function signVerifyRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Reply> {
  requireSigning(c, deps);
  const request = await readBody(sent(c), readSignVerify, deps.body);
  const block = blockOf(request.scheme, request.block);
  return withSession(c, deps, 'sign_verify', request.session, (session, host) => {
    const { core, service } = session;
    const { signature } = request;
    const verdict = deps.engine.signVerify(service, core, request.scheme, block, signature, host);
    return verdict.decision ? PROVED : denial(verdict.reason, ERRNO_VERIFY);
  });
}

function requireSigning(c: Context<AppEnv>, deps: AppDeps): void {
  requireRight(c.get('caller'), 'accept', 'this call');
  if (!deps.sign) throw new Problem('sign.disabled', 'message signatures are not enabled');
}

function withSession(
  c: Context<AppEnv>,
  deps: AppDeps,
  call: string,
  handle: string,
  decide: (session: Session, host: { nowNs: bigint; policy: AppDeps['policy'] }) => Decision,
): Reply {
  const caller = c.get('caller');
  if (deniesAll(deps)) {
    const context = { call, caller, service: 'unknown', check: STALE_CHECK };
    return answer(deps, denial('store.stale', ERRNO_VERIFY), context);
  }
  const nowNs = deps.clock();
  const session = sessionOf(deps, caller.id, handle, nowNs);
  const found = typeof session !== 'string';
  const decision = found
    ? decide(session, { nowNs, policy: deps.policy })
    : denial(session, ERRNO_VERIFY);
  const service = found ? (entityTypeName(session.service) ?? 'unknown') : 'unknown';
  return answer(deps, decision, { call, caller, service, check: decision.reason.code });
}

/** The signed bytes: for msgr1 the 32 bytes of its numbers, for msgr2 what was given. */
function blockOf(of: SignatureScheme, value: unknown): Uint8Array {
  if (of === 'msgr2-auth') return readBytesBlock(value, 'block').bytes;
  const numbers = readNumbers(value, 'block');
  return encodeMessageBlock({
    headerCrc: numbers.header_crc,
    frontCrc: numbers.front_crc,
    frontLen: numbers.front_len,
    middleCrc: numbers.middle_crc,
    middleLen: numbers.middle_len,
    dataCrc: numbers.data_crc,
    dataLen: numbers.data_len,
    seq: numbers.seq,
  });
}

/** The block is that of the scheme. */
function signSchema(shape: Readonly<Record<string, Field<unknown>>>): Schema {
  return {
    ...objectSchema(shape),
    if: { properties: { scheme: { const: 'msgr2-auth' } } },
    // biome-ignore lint/suspicious/noThenProperty: this is how JSON Schema calls it
    then: { properties: { block: schemaOf(readBytesBlock) } },
    else: { properties: { block: schemaOf(readNumbers) } },
  };
}

const PROVED: Decision = { decision: true, authenticated: true, reason: reasonOf('ok') };
