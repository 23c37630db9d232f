/**
 * Format cephx-synthetic/1: good and tampered objects under each of the four policies
 * (tickets-synthetic.json).
 */

import {
  challengeHash,
  challengeHashMatches,
  openAuthorizeChallenge,
  openAuthorizeReply,
} from '../../src/cephx/authorizer.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { DecodeError } from '../../src/cephx/denc.ts';
import { entityTypeName } from '../../src/cephx/protocol.ts';
import type { Challenge, Plausibility, Verdict } from '../../src/engine/index.ts';
import { fromHex, toHex } from '../twin/load.ts';
import { judge, loadSecrets, RELEASED } from './judge.ts';
import type { Check, Report } from './report.ts';
import { agree, type Rig } from './rig.ts';

interface Expected {
  readonly verdict: 'accept' | 'reject';
  readonly checks?: readonly string[];
}

/** When it ends: seconds, or seconds and nanoseconds. */
type Expiration = number | readonly [number, number] | null | undefined;

interface Secret {
  readonly secret_id: string;
  readonly key: string;
  readonly expiration?: Expiration;
}

interface Case {
  readonly id: string;
  readonly kind: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly expect: Readonly<Record<string, Expected>>;
  readonly decoded?: Readonly<Record<string, unknown>>;
}

export interface SyntheticFile {
  readonly policies: Readonly<Record<string, unknown>>;
  readonly vectors: readonly Case[];
}

/** What a run says: the check that failed, or what was decoded. */
interface Outcome {
  readonly failed?: string;
  readonly decoded?: Readonly<Record<string, unknown>>;
}

export function runSynthetic(rig: Rig, report: Report, file: SyntheticFile): void {
  for (const vector of file.vectors) {
    report.case(
      vector.id,
      { ...vector },
      (check) => {
        const policies = Object.keys(file.policies);
        const strange = Object.keys(vector.expect).find(
          (each) => ![...policies, 'all'].includes(each),
        );
        if (strange !== undefined) check.fail(`there is no policy "${strange}"`);
        for (const policy of policies) {
          const key = policy in vector.expect ? policy : 'all';
          judgeOne(rig, check, vector, key, policy);
        }
      },
      vector,
    );
  }
}

function judgeOne(rig: Rig, check: Check, vector: Case, key: string, policy: string): void {
  const { input, kind } = vector;
  const expected = vector.expect[key] as Expected;
  if (!isPlausibility(policy)) throw new Error(`the policy "${policy}" is not understood`);
  const run = KINDS[kind];
  if (run === undefined) {
    check.fail(`the kind "${kind}" is not supported`);
    return;
  }
  const outcome = run(rig, input, policy);
  const verdict = outcome.failed === undefined ? 'accept' : 'reject';
  check.same(`expect/${key}/verdict`, verdict, expected.verdict);
  if (outcome.failed === undefined) {
    if (vector.decoded !== undefined) check.tree('decoded', outcome.decoded, vector.decoded);
    return;
  }
  const checks = expected.checks ?? [];
  // Any one of them is right: what is compared is the one that it was.
  const at = Math.max(0, checks.indexOf(outcome.failed));
  check.same(`expect/${key}/checks/${at}`, outcome.failed, checks[at]);
}

function isPlausibility(name: string): name is Plausibility {
  return ['released', 'pr71231-order', 'pr71231-span', 'strict'].includes(name);
}

const KINDS: Readonly<
  Record<string, (rig: Rig, input: Case['input'], policy: Plausibility) => Outcome>
> = {
  authorizer,
  challenge_hash: proof,
  authorizer_reply: reply,
  authorizer_challenge: challenge,
};

function authorizer(rig: Rig, input: Case['input'], policy: Plausibility): Outcome {
  const service = input.service_id as number;
  const secrets = (input.secrets as Secret[]).map((each) => ({
    service,
    secretId: BigInt(each.secret_id),
    key: CryptoKey.fromBase64(each.key),
    expiresNs: nanoseconds(each.expiration),
  }));
  loadSecrets(rig, secrets);
  const shown = {
    service,
    authorizer: fromHex(input.authorizer as string),
    challenge: challengeOf(input.server_challenge as string | null),
    policy: { ...RELEASED, plausibility: policy },
    nowNs: 0n,
  };
  const verdict = judge(rig, shown, secrets);
  if (!verdict.decision) return { failed: verdict.check };
  return { decoded: decodedBy(verdict) };
}

function nanoseconds(expiration: Expiration): bigint | undefined {
  if (expiration === undefined || expiration === null) return undefined;
  const [sec, nsec] = typeof expiration === 'number' ? [expiration, 0] : expiration;
  return BigInt(sec) * 1_000_000_000n + BigInt(nsec);
}

/** A number; null when none was issued; "off" when none is required. */
function challengeOf(given: string | null): Challenge {
  if (given === 'off') return { mode: 'off' };
  if (given === null) return { mode: 'required', value: 1n };
  return { mode: 'issued', value: BigInt(given) };
}

function decodedBy(verdict: Verdict): Record<string, unknown> {
  const { created, expires, secrets } = verdict;
  return {
    entity: `${entityTypeName(verdict.entityType)}.${verdict.entityId}`,
    global_id: `${verdict.globalId}`,
    created: [created.seconds, created.nanoseconds],
    expires: [expires.seconds, expires.nanoseconds],
    allow_all: verdict.allowAll,
    caps_hex: toHex(verdict.capsRaw),
    session_key: secrets && base64(secrets.sessionKey),
    secret_id: `${verdict.secretId}`,
    nonce: `${secrets?.nonce}`,
    have_challenge: verdict.haveChallenge,
  };
}

function base64(key: Uint8Array): string {
  return btoa(String.fromCharCode(...key));
}

function proof(rig: Rig, input: Case['input']): Outcome {
  const challenges = {
    server: BigInt(input.server as string),
    client: BigInt(input.client as string),
  };
  const presented = BigInt(input.presented as string);
  const keys = (input.keys as string[]).map((each) => CryptoKey.fromBase64(each));
  const found = keys.findIndex((key) => {
    const hash = rig.both((sealer) => challengeHash(sealer, key, challenges));
    const core = rig.engine.challengeHash(key.encode(), challenges.server, challenges.client);
    agree('engine and src/cephx', `${core}`, `${hash}`);
    return rig.both((sealer) => challengeHashMatches(sealer, key, challenges, presented));
  });
  return found < 0 ? { failed: 'challenge.hash' } : { decoded: { key_index: found } };
}

function reply(rig: Rig, input: Case['input']): Outcome {
  const key = CryptoKey.fromBase64(input.session_key as string);
  const nonce = BigInt(input.nonce as string);
  const sealed = fromHex(input.reply as string);
  return attempt(() => {
    const secret = rig.both((sealer) => openAuthorizeReply(sealer, key, nonce, sealed));
    return { connection_secret: toHex(secret) };
  });
}

function challenge(rig: Rig, input: Case['input']): Outcome {
  const key = CryptoKey.fromBase64(input.session_key as string);
  const sealed = fromHex(input.sealed as string);
  return attempt(() => {
    const value = rig.both((sealer) => openAuthorizeChallenge(sealer, key, sealed));
    return { server_challenge: `${value}` };
  });
}

function attempt(open: () => Record<string, unknown>): Outcome {
  try {
    return { decoded: open() };
  } catch (error) {
    if (error instanceof DecodeError) return { failed: error.code };
    throw error;
  }
}
