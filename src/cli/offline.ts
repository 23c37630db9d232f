/**
 * `cephgate verify --offline`: what is inside an authorizer, and the exact check that fails, judged
 * in this process with the clock and the challenge that are given. For the operator who holds the
 * service secrets: nothing is masked here.
 */

import { INFO_CAPS_DECODED, INFO_CAPS_PRESENT } from '../../assembly/abi.ts';
import { Reader, utimeNs } from '../cephx/denc.ts';
import {
  decodeAuthorizer,
  ENTITY_TYPES,
  entityTypeName,
  formatEntityName,
  GENERAL_SECRET_ID,
} from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import type { Address, Challenge } from '../engine/types.ts';
import type { Verdict } from '../engine/verdict.ts';
import {
  encodeBase64,
  formatTime,
  parseAddress,
  parseTime,
  parseU64,
  U64_MAX,
} from '../http/codec.ts';
import { keptAt } from '../http/ring.ts';
import { readSecretsFile, serviceId } from '../http/secretsfile.ts';
import { EXIT_NO, EXIT_YES, type Io } from './io.ts';
import type { Option, Settings } from './options.ts';
import { lines } from './request.ts';
import { CONFIG_OPTION, POLICY_OPTIONS, policyOf, refuseTogether } from './settings.ts';

export const OFFLINE_OPTIONS: readonly Option[] = [
  { name: 'secrets', value: 'FILE', help: 'service secrets, cephgate-secrets/1, mode 0600' },
  { name: 'server-challenge', value: 'N', help: 'the challenge that the client had to answer' },
  { name: 'no-challenge', help: 'ask for no challenge; else, without N, none was issued yet' },
  { name: 'at', value: 'TIME', help: 'judge at this time (RFC 3339 in UTC, or seconds); else now' },
  ...POLICY_OPTIONS,
  { name: 'reveal-keys', help: 'print session key and nonce' },
  CONFIG_OPTION,
];

export interface OfflineSubject {
  readonly service: string;
  readonly authorizer: Uint8Array;
  readonly json: boolean;
}

/** Judges and prints; returns the exit code. Throws ConfigError, FileError. */
export async function verifyOffline(
  io: Io,
  settings: Settings,
  subject: OfflineSubject,
): Promise<number> {
  if (!Object.hasOwn(ENTITY_TYPES, subject.service)) {
    throw settings.wrong('service', `one of ${Object.keys(ENTITY_TYPES).join(', ')}`);
  }
  const revealKeys = settings.flag('reveal-keys');
  return judgeOffline(settings, subject, challengeOf(settings), (verdict, nowNs) => {
    const report = reportOf(verdict, subject, nowNs, revealKeys);
    io.out(subject.json ? `${JSON.stringify(report, null, 2)}\n` : lines(report));
    return verdict.decision ? EXIT_YES : EXIT_NO;
  });
}

/**
 * Judges by the settings of OFFLINE_OPTIONS and gives what `use` makes of the verdict, which is
 * wiped then. Throws ConfigError, FileError.
 */
export async function judgeOffline<T>(
  settings: Settings,
  subject: Pick<OfflineSubject, 'service' | 'authorizer'>,
  challenge: Challenge,
  use: (verdict: Verdict, nowNs: bigint) => T,
): Promise<T> {
  const policy = policyOf(settings);
  const nowNs = timeOf(settings);
  const peer = peerOf(settings);
  const all = readSecretsFile(settings.required('secrets'));
  // Where only the ring ends a ticket, a secret that a daemon would have dropped opens nothing.
  const secrets = policy.expiry === 'ring' ? keptAt(all, nowNs) : all;
  const engine = await Engine.create({ preset: 'small' });
  try {
    for (const { service, secretId, key, expiresNs } of secrets) {
      if (secretId === GENERAL_SECRET_ID && policy.generalSecret !== true) continue;
      engine.putSecret({ service: serviceId(service), secretId, key: key.encode(), expiresNs });
    }
    const verdict = engine.verify(
      {
        service: ENTITY_TYPES[subject.service]!,
        authorizer: subject.authorizer,
        challenge,
        peer,
        unproven: true,
        secrets: settings.flag('reveal-keys'),
      },
      { nowNs, policy },
    );
    return use(verdict, nowNs);
  } finally {
    engine.wipe();
  }
}

function reportOf(
  verdict: Verdict,
  subject: OfflineSubject,
  nowNs: bigint,
  revealKeys: boolean,
): Readonly<Record<string, unknown>> {
  // The head of a verdict stays zero unless the ticket was opened.
  const opened = verdict.info !== 0;
  return {
    decision: verdict.decision,
    check: verdict.check,
    check_number: verdict.checkNumber,
    reason: verdict.reason,
    service: subject.service,
    judged_at: formatTime(nowNs),
    authorizer: declared(subject.authorizer),
    ticket: opened ? ticketOf(verdict) : undefined,
    proved: verdict.proven,
    answers_challenge: verdict.proven ? verdict.haveChallenge : undefined,
    keys: revealKeys && opened ? keysOf(verdict) : undefined,
  };
}

/** What the authorizer says in the clear. */
function declared(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const authorizer = decodeAuthorizer(new Reader(bytes));
    return {
      bytes: bytes.length,
      authorizer_v: authorizer.version,
      global_id: authorizer.globalId.toString(),
      service: entityTypeName(authorizer.serviceId) ?? String(authorizer.serviceId),
      secret_id: authorizer.ticket.secretId.toString(),
      ticket_bytes: authorizer.ticket.blob.length,
      part_b_bytes: authorizer.sealed.length,
    };
  } catch {
    return { bytes: bytes.length };
  }
}

/** What the sealed ticket says. Under `aes` it may have been altered: see `integrity`. */
function ticketOf(verdict: Verdict): Readonly<Record<string, unknown>> {
  const present = (verdict.info & INFO_CAPS_PRESENT) !== 0;
  const decoded = (verdict.info & INFO_CAPS_DECODED) !== 0;
  return {
    entity: formatEntityName({ type: verdict.entityType, id: verdict.entityId }),
    global_id: verdict.globalId.toString(),
    created: formatTime(utimeNs(verdict.created)),
    expires: formatTime(utimeNs(verdict.expires)),
    expired: verdict.expired,
    allow_all: verdict.allowAll,
    caps: decoded ? verdict.caps : null,
    caps_undecodable: present && !decoded ? encodeBase64(verdict.capsRaw) : undefined,
    ticket_key_type: verdict.ticketKeyType,
    session_key_type: verdict.sessionKeyType,
    integrity: verdict.integrity,
  };
}

function keysOf(verdict: Verdict): Readonly<Record<string, unknown>> | undefined {
  const { secrets } = verdict;
  if (secrets === undefined) return undefined;
  return { session_key: encodeBase64(secrets.sessionKey), nonce: secrets.nonce.toString() };
}

/** What the flags say; without them, one is required and none was issued. */
export function challengeOf(settings: Settings): Challenge {
  refuseTogether(settings, ['server-challenge', 'no-challenge']);
  if (settings.flag('no-challenge')) return { mode: 'off' };
  const text = settings.text('server-challenge');
  if (text === undefined) return { mode: 'required', value: 0n };
  const value = parseU64(text);
  if (value === undefined) throw settings.wrong('server-challenge', 'a number from 0 to 2^64-1');
  return { mode: 'issued', value };
}

function timeOf(settings: Settings): bigint {
  const text = settings.text('at');
  if (text === undefined) return BigInt(Date.now()) * 1_000_000n;
  const ns = parseTime(text);
  if (ns === undefined || ns > U64_MAX) {
    throw settings.wrong('at', 'a time such as 2026-11-21T16:00:00Z, or seconds since 1970');
  }
  return ns;
}

function peerOf(settings: Settings): Address | undefined {
  const text = settings.text('peer');
  const peer = text === undefined ? undefined : parseAddress(text);
  if (text !== undefined && peer === undefined) {
    throw settings.wrong('peer', 'an IPv4 or IPv6 address without port');
  }
  return peer;
}
