/**
 * Authorizers that were shown to real daemons, and what the daemons said: formats cephx-observed/1
 * (an MDS) and authorizer-cases/1 (an OSD). Judged as released Ceph judges.
 */

import {
  openAuthorizeChallenge,
  openAuthorizeReply,
  sealAuthorizeReply,
} from '../../src/cephx/authorizer.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { Reader, Writer } from '../../src/cephx/denc.ts';
import { ENTITY_TYPES } from '../../src/cephx/protocol.ts';
import type { Challenge, Verdict } from '../../src/engine/index.ts';
import { fromHex, toHex } from '../twin/load.ts';
import type { TwinSecret } from '../twin/verify.ts';
import { judge, loadSecrets, RELEASED } from './judge.ts';
import type { Check, Report } from './report.ts';
import { agree, type Rig } from './rig.ts';

interface ObservedRow {
  readonly id: string;
  /** 0 accepted, -13 refused, null for a connection closed without an answer. */
  readonly result: number | null;
  readonly tags?: readonly number[];
  readonly reply_v?: number;
  readonly nonce_ok: boolean;
  readonly connection_secret_len?: number;
  readonly session_key: string;
  readonly authorizer1: string;
  readonly challenge?: string;
  readonly server_challenge?: string;
  readonly authorizer2?: string;
  readonly reply?: string;
  readonly nonce_last: string;
}

export interface ObservedFile {
  readonly service_id: number;
  readonly secrets: readonly { secret_id: string; key: string; expiration: number }[];
  readonly rows: readonly ObservedRow[];
}

export function runObserved(rig: Rig, report: Report, file: ObservedFile): void {
  const service = file.service_id;
  const secrets = file.secrets.map(({ secret_id, key }) => ({
    service,
    secretId: BigInt(secret_id),
    key: CryptoKey.fromBase64(key),
  }));
  for (const row of file.rows) {
    const body = (check: Check): void => observe(rig, check, row, service, secrets);
    report.case(row.id, { ...row }, body, row);
  }
}

function observe(
  rig: Rig,
  check: Check,
  row: ObservedRow,
  service: number,
  secrets: readonly TwinSecret[],
): void {
  loadSecrets(rig, secrets);
  const shown = { service, secrets, nowNs: 0n, session: true };
  const { first, second } = present(rig, shown, {
    first: row.authorizer1,
    second: row.authorizer2,
    challenge: row.server_challenge,
  });
  const key = CryptoKey.fromBase64(row.session_key);
  if (row.challenge !== undefined) {
    const frame = fromHex(row.challenge);
    const sealed = new Reader(frame).bl();
    const challenge = rig.both((sealer) => openAuthorizeChallenge(sealer, key, sealed));
    check.same('server_challenge', `${challenge}`, row.server_challenge);
    // The record holds the frame's payload, in which the sealed challenge has a length prefix.
    const payload = new Writer().bl(first.reply ?? new Uint8Array(0)).finish();
    check.same('challenge', toHex(payload), row.challenge);
  }
  const accepted = second?.decision ?? false;
  // A daemon closes the connection when what it decrypts does not decode: a refusal as well.
  check.same('result', accepted ? 0 : row.result === null ? null : EACCES, row.result);
  const reply = accepted ? openReply(rig, check, row, key, second as Verdict) : undefined;
  check.same('nonce_ok', reply !== undefined, row.nonce_ok);
  if (row.tags === undefined) return;
  const tags = first.reason === CHALLENGED ? [TAG_MORE] : [];
  if (!accepted) tags.push(TAG_BAD_METHOD);
  // The recorder of secure connections stopped at the first encrypted frame.
  else tags.push(TAG_DONE, ...(reply?.length === 0 ? [TAG_SIGNATURE] : []));
  check.tree('tags', tags, row.tags);
}

/** The daemon's reply: the nonce in it, the connection secret, and the engine's own. */
function openReply(
  rig: Rig,
  check: Check,
  row: ObservedRow,
  key: CryptoKey,
  verdict: Verdict,
): Uint8Array {
  const { nonce } = verdict.secrets ?? { nonce: 0n };
  check.same('nonce_last', `${nonce}`, row.nonce_last);
  const recorded = fromHex(row.reply ?? '');
  const secret = rig.both((sealer) => openAuthorizeReply(sealer, key, nonce, recorded));
  check.same('connection_secret_len', secret.length, row.connection_secret_len);
  check.same('reply_v', secret.length === 0 ? 1 : 2, row.reply_v);
  const zeros = (n: number): Uint8Array => new Uint8Array(n);
  const built = rig.both((sealer) => sealAuthorizeReply(sealer, key, nonce, secret, zeros));
  check.same('reply', toHex(built), row.reply);
  // Without a connection secret nothing in a reply is random under `aes`.
  if (secret.length === 0)
    agree('engine and daemon', toHex(verdict.reply ?? zeros(0)), row.reply ?? '');
  return secret;
}

interface CaseSecret {
  readonly id: string;
  readonly key: { readonly encoded: string };
  readonly expiration: { readonly sec: number; readonly nsec: number };
}

interface CaseRow {
  readonly case: string;
  readonly seconds_after_secret_expiry: number;
  readonly outcome: string;
  readonly authorizer_1: string;
  readonly server_challenge?: string;
  readonly authorizer_2?: string;
}

export interface CasesFile {
  readonly osd_rotating_secrets: readonly CaseSecret[];
  readonly rows: readonly CaseRow[];
}

export function runCases(rig: Rig, report: Report, file: CasesFile): void {
  const service = ENTITY_TYPES.osd as number;
  const secrets = file.osd_rotating_secrets.map(({ id, key, expiration }) => ({
    service,
    secretId: BigInt(id),
    key: CryptoKey.fromBase64(key.encoded),
    expiresNs: BigInt(expiration.sec) * 1_000_000_000n + BigInt(expiration.nsec),
  }));
  const sealingId = sealingSecretId(file.rows);
  const sealing = secrets.find((secret) => secret.secretId === sealingId);
  for (const [i, row] of file.rows.entries()) {
    const body = (check: Check): void => {
      const after = BigInt(Math.round(row.seconds_after_secret_expiry * 1000)) * 1_000_000n;
      if (sealing === undefined) throw new Error(`the secret ${sealingId} is not in the file`);
      const nowNs = sealing.expiresNs + after;
      const ring = ringAt(secrets, nowNs);
      loadSecrets(rig, ring);
      const { first, second } = present(
        rig,
        { service, secrets: ring, nowNs },
        {
          first: row.authorizer_1,
          second: row.authorizer_2,
          challenge: row.server_challenge,
        },
      );
      check.same('outcome', outcomeOf(first, second, row.outcome), row.outcome);
    };
    report.case(`${i} ${row.case}`, { ...row }, body, row);
  }
}

/**
 * The id of the secret that sealed the ticket of the file, to which its times are relative. Most
 * rows name it; a few name another on purpose.
 */
function sealingSecretId(rows: readonly CaseRow[]): bigint | undefined {
  const named = new Map<bigint, number>();
  for (const { authorizer_1 } of rows) {
    const bytes = fromHex(authorizer_1);
    if (bytes.length < SECRET_ID_AT + 8) continue;
    const id = new Reader(bytes.subarray(SECRET_ID_AT)).u64();
    named.set(id, (named.get(id) ?? 0) + 1);
  }
  const [most] = [...named].sort(([, a], [, b]) => b - a);
  return most?.[0];
}

/** The recorder's words for what became of an authorizer. */
function outcomeOf(first: Verdict, second: Verdict | undefined, recorded: string): string {
  if (second?.decision === true) return 'ACCEPTED';
  const challenged = first.reason === CHALLENGED;
  // A closed connection is a refusal of either authorizer.
  if (recorded === CLOSED) return challenged === (second !== undefined) ? CLOSED : 'challenged';
  return `refused ${challenged ? 'second' : 'first'} authorizer rc ${EACCES}`;
}

/** A static set as a ring: a secret leaves when the expiration of the next id has passed. */
function ringAt<T extends TwinSecret>(secrets: readonly T[], nowNs: bigint): T[] {
  return secrets.filter((secret) => {
    const next = secrets.find((each) => each.secretId === secret.secretId + 1n);
    return next?.expiresNs === undefined || next.expiresNs > nowNs;
  });
}

interface Presented {
  readonly first: string;
  readonly second: string | undefined;
  readonly challenge: string | undefined;
}

/** Shows an authorizer and, if the daemon asked for an answer to a challenge, the second one. */
function present(
  rig: Rig,
  shown: { service: number; secrets: readonly TwinSecret[]; nowNs: bigint },
  bytes: Presented,
): { first: Verdict; second: Verdict | undefined } {
  const { service, secrets, nowNs } = shown;
  const value = BigInt(bytes.challenge ?? 1);
  const show = (hex: string, challenge: Challenge): Verdict =>
    judge(rig, { service, nowNs, policy: RELEASED, authorizer: fromHex(hex), challenge }, secrets);
  const first = show(bytes.first, { mode: 'required', value });
  const second =
    bytes.second === undefined ? undefined : show(bytes.second, { mode: 'issued', value });
  return { first, second };
}

const CHALLENGED = 'authorizer.challenge_required';
const CLOSED = 'connection closed without an answer';
const EACCES = -13;
/** Frame tags of msgr2: AUTH_BAD_METHOD, AUTH_REPLY_MORE, AUTH_DONE, AUTH_SIGNATURE. */
const TAG_BAD_METHOD = 3;
const TAG_MORE = 4;
const TAG_DONE = 6;
const TAG_SIGNATURE = 7;
/** Where a CephXAuthorizer has the id of the sealing secret: after u8, u64, u32, u8. */
const SECRET_ID_AT = 14;
