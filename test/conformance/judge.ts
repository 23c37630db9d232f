/** One authorizer before the engine and before the twin, which must say the same. */

import type { Challenge, HostContext, Policy, Verdict } from '../../src/engine/index.ts';
import { toHex } from '../twin/load.ts';
import { type TwinInput, type TwinPolicy, type TwinSecret, verify } from '../twin/verify.ts';
import { agree, BY_ENGINE, BY_TWIN, type Rig } from './rig.ts';

/** How released Ceph judges: no clock of its own, no plausibility checks. */
export const RELEASED: TwinPolicy = {
  plausibility: 'released',
  expiry: 'ring',
  skewNs: 0n,
  allowedTypes: 'ring',
  generalSecret: true,
};

/** An authorizer as a service sees it. */
export interface Shown {
  readonly service: number;
  readonly authorizer: Uint8Array;
  readonly challenge: Challenge;
  readonly policy: TwinPolicy;
  readonly nowNs: bigint;
  readonly session?: boolean;
}

/** The engine's secrets become these. */
export function loadSecrets(rig: Rig, secrets: readonly TwinSecret[]): void {
  rig.engine.clearSecrets();
  for (const { service, secretId, key, expiresNs } of secrets) {
    rig.engine.putSecret({ service, secretId, key: key.encode(), expiresNs });
  }
}

/** The engine's verdict, with secrets and all that was decoded. Throws if the twin's is another. */
export function judge(rig: Rig, shown: Shown, secrets: readonly TwinSecret[]): Verdict {
  rig.used.add(BY_ENGINE).add(BY_TWIN);
  const { service, authorizer, challenge, policy, nowNs, session } = shown;
  const asked = { service, authorizer, challenge, session: session ?? false };
  const flags = { reply: challenge.mode !== 'off', secrets: true, unproven: true };
  const verdict = rig.engine.verify({ ...asked, ...flags }, hostOf(policy, nowNs));
  const input: TwinInput = { service, bytes: authorizer, challenge, policy, nowNs, secrets };
  const twin = verify(input);
  agree(
    'core and twin',
    [verdict.checkNumber, verdict.reasonNumber, verdict.decision, verdict.proven].join(),
    [twin.check, twin.reason, twin.decision, twin.proven].join(),
  );
  if (verdict.proven) agree('core and twin', told(verdict), toldByTwin(twin, verdict.decision));
  return verdict;
}

export function hostOf(policy: TwinPolicy, nowNs: bigint): HostContext {
  const { plausibility, expiry, skewNs, generalSecret } = policy;
  const ours: Partial<Policy> = { plausibility, expiry, skewNs, generalSecret };
  return { nowNs, policy: ours };
}

function told(verdict: Verdict): string {
  const { created, expires, secrets } = verdict;
  return [
    ...[verdict.secretId, verdict.entityType, toHex(verdict.entityIdBytes), verdict.globalId],
    ...[created.seconds, created.nanoseconds, expires.seconds, expires.nanoseconds],
    ...[verdict.allowAll, toHex(verdict.capsRaw), verdict.haveChallenge],
    ...(secrets === undefined ? [] : [secrets.nonce, toHex(secrets.sessionKey)]),
  ].join();
}

/** The engine hands out secrets only of an authorizer that it accepts. */
function toldByTwin(twin: ReturnType<typeof verify>, accepted: boolean): string {
  const { ticket } = twin;
  if (ticket === undefined) return 'nothing';
  const { created, expires } = ticket;
  return [
    ...[twin.secretId, ticket.entityType, toHex(ticket.entityId), ticket.globalId],
    ...[created.seconds, created.nanoseconds, expires.seconds, expires.nanoseconds],
    ...[ticket.allowAll, toHex(ticket.capsRaw), twin.haveChallenge],
    ...(accepted ? [twin.nonce, toHex(ticket.sessionKey.encode())] : []),
  ].join();
}
