/**
 * Core against twin on seeded authorizers: verdict codes, decoded fields and secrets are equal.
 */

import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode } from '../../src/cephx/denc.ts';
import { type Engine, type Policy, REASON_CODES, type Verdict } from '../../src/engine/index.ts';
import { Rng } from '../rng.ts';
import { type TwinInput, type TwinPolicy, type TwinVerdict, verify } from '../twin/verify.ts';
import { makeInput, makePolicy, makeSecrets, REVOKED_ID } from './corpus.ts';

/** How often each reason occurred. */
export type Histogram = Record<string, number>;

/** A case on which core and twin differ. */
export class Difference extends Error {
  override readonly name = 'Difference';
}

const KEY_TYPE_NAMES = ['none', 'aes', 'aes256k'] as const;

/** Runs `count` cases; throws Difference at the first that is not equal in every value. */
export function fuzzVerify(engine: Engine, seed: number, count: number): Histogram {
  const rng = new Rng(seed);
  const secrets = makeSecrets(rng);
  engine.wipe();
  for (const { service, secretId, key, expiresNs } of secrets) {
    engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key), expiresNs });
  }
  engine.revoke('deny', { entity: { type: 8, id: REVOKED_ID } });
  const policies = Array.from({ length: 60 }, () => makePolicy(rng));
  const ours = new Map(policies.map((policy) => [policy, enginePolicy(policy)]));
  const histogram: Histogram = {};
  for (let i = 0; i < count; i++) {
    const input = makeInput(rng, secrets, policies);
    const expected = verify(input);
    const challenge =
      input.challenge.mode === 'required' ? { ...input.challenge, value: 99n } : input.challenge;
    const given = engine.verify(
      { service: input.service, authorizer: input.bytes, challenge, unproven: true, secrets: true },
      { nowNs: input.nowNs, policy: ours.get(input.policy) as Policy },
    );
    const difference = compare(expected, given, input);
    if (difference !== undefined) {
      throw new Difference(`seed ${seed}, case ${i}, build ${engine.build}: ${difference}`);
    }
    histogram[given.reason] = (histogram[given.reason] ?? 0) + 1;
  }
  engine.revoke('clear', 'all');
  return histogram;
}

/** The policy of the twin as the engine takes it. */
export function enginePolicy(policy: TwinPolicy): Partial<Policy> {
  const { allowedTypes, ...rest } = policy;
  return {
    ...rest,
    allowedTypes:
      allowedTypes === 'ring' ? 'ring' : allowedTypes.map((type) => KEY_TYPE_NAMES[type] ?? 'none'),
  };
}

function compare(expected: TwinVerdict, given: Verdict, input: TwinInput): string | undefined {
  const differs = (what: string, a: unknown, b: unknown): string | undefined =>
    String(a) === String(b) ? undefined : `${what}: twin says ${a}, core says ${b}`;
  const head =
    differs('check', expected.check, given.checkNumber) ??
    differs('reason', expected.reason, given.reasonNumber) ??
    differs('decision', expected.decision, given.decision) ??
    differs('proven', expected.proven, given.proven);
  if (head !== undefined) return `${head} (check ${given.check}, ${REASON_CODES[expected.reason]})`;
  const { ticket } = expected;
  // An undecoded ticket must show nothing; a decoded one shows everything, as was asked for.
  if (ticket === undefined) return differs('nothing decoded', 0n, given.globalId);
  return (
    differs('entity type', ticket.entityType, given.entityType) ??
    differs('entity id', ticket.entityId, given.entityIdBytes) ??
    differs('global_id', ticket.globalId, given.globalId) ??
    differs('created', Object.values(ticket.created), Object.values(given.created)) ??
    differs('expires', Object.values(ticket.expires), Object.values(given.expires)) ??
    differs('allow_all', ticket.allowAll, given.allowAll) ??
    differs('caps buffer', ticket.capsRaw, given.capsRaw) ??
    differs('challenged', expected.challenged, given.challenged) ??
    differs('secret id', expected.secretId, given.secretId) ??
    (expected.proven && expected.decision ? compareSecrets(expected, given, differs) : undefined) ??
    differs('bytes kept', true, given.bytes.length > 0 && input.bytes.length > 0)
  );
}

function compareSecrets(
  expected: TwinVerdict,
  given: Verdict,
  differs: (what: string, a: unknown, b: unknown) => string | undefined,
): string | undefined {
  const key = expected.ticket?.sessionKey;
  if (key === undefined) return 'no session key in an accepted verdict';
  return (
    differs('session key', encode(CryptoKey.encode, key), given.secrets?.sessionKey) ??
    differs('nonce', expected.nonce, given.secrets?.nonce)
  );
}
