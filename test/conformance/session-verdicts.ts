/** The authorizers of a recorded session before the engine: verdicts, replies, signatures. */

import { entityTypeName } from '../../src/cephx/protocol.ts';
import { encodeMessageBlock } from '../../src/cephx/signature.ts';
import type { Plausibility, Verdict } from '../../src/engine/index.ts';
import type { LabAuthorizer, LabKeys, LabSession } from '../lab.ts';
import { fromHex, toHex } from '../twin/load.ts';
import type { TwinPolicy } from '../twin/verify.ts';
import { hostOf, judge, loadSecrets } from './judge.ts';
import type { Check } from './report.ts';
import type { Rig } from './rig.ts';
import { blockOf } from './session-docs.ts';

/** A genuine session passes under each policy, with the clock at the ticket's creation. */
export function judgeSession(rig: Rig, check: Check, keys: LabKeys, session: LabSession): void {
  const secrets = keys.secrets(session.service);
  loadSecrets(rig, secrets);
  const first = session.authorizer_1 as LabAuthorizer;
  const second = session.authorizer_2 as LabAuthorizer;
  const value = BigInt(session.authorizer_challenge?.server_challenge ?? 0);
  const { created, name } = first.ticket.fields;
  const nowNs = BigInt(created.sec) * 1_000_000_000n + BigInt(created.nsec) + 1_000_000n;
  for (const plausibility of PLAUSIBILITIES) {
    const policy = { ...ENFORCED, plausibility };
    const shown = { service: first.service_id, policy, nowNs };
    const show = (raw: string, mode: 'required' | 'issued', answer: bigint): Verdict => {
      const challenge = { mode, value: answer };
      const session = mode === 'issued';
      return judge(rig, { ...shown, authorizer: fromHex(raw), challenge, session }, secrets);
    };
    const asked = show(first.raw, 'required', value);
    check.same(`verdict ${plausibility} 1`, asked.reason, 'authorizer.challenge_required');
    const sealed = asked.reply && toHex(asked.reply);
    check.same('sealed challenge', sealed, session.authorizer_challenge?.encrypted);
    const wrong = show(second.raw, 'issued', value + 1n);
    check.same(`verdict ${plausibility} 2`, wrong.reason, 'authorizer.challenge_mismatch');
    const verdict = show(second.raw, 'issued', value);
    check.same(`verdict ${plausibility} 3`, verdict.reason, 'ok');
    const entity = `${entityTypeName(verdict.entityType)}.${verdict.entityId}`;
    check.same('verdict entity', entity, name.name);
    check.same('verdict caps', verdict.caps, first.ticket.fields.caps ?? '');
    // Without a connection secret nothing in a reply is random under `aes`.
    if (session.authorizer_reply?.connection_secret === '') {
      check.same('reply', verdict.reply && toHex(verdict.reply), session.authorizer_reply.raw);
    }
    signatures(rig, check, session, verdict, shown);
    rig.engine.sessionRelease(verdict.handle);
  }
}

/** The signatures that the engine makes with the key of the session that it opened. */
function signatures(
  rig: Rig,
  check: Check,
  session: LabSession,
  { handle }: Verdict,
  shown: { service: number; policy: TwinPolicy; nowNs: bigint },
): void {
  const { service, policy, nowNs } = shown;
  const host = hostOf(policy, nowNs);
  const handshake = session.signatures;
  if (handshake !== undefined) {
    const received = fromHex(handshake.server_to_client_bytes);
    const { reply } = rig.engine.sign(service, handle, 'msgr2-auth', received, host);
    check.same('signature', reply && toHex(reply), handshake.client_sends);
  }
  for (const message of session.messages ?? []) {
    if (!message.signed) continue;
    const block = encodeMessageBlock(blockOf(message));
    const { reply } = rig.engine.sign(service, handle, 'msgr1', block, host);
    const view = reply && new DataView(reply.buffer, reply.byteOffset, reply.length);
    check.same('signature', view && `${view.getBigUint64(0, true)}`, message.sig);
  }
}

const PLAUSIBILITIES: readonly Plausibility[] = [
  'released',
  'pr71231-order',
  'pr71231-span',
  'strict',
];

const ENFORCED: Omit<TwinPolicy, 'plausibility'> = {
  expiry: 'enforce',
  skewNs: 0n,
  allowedTypes: 'ring',
  generalSecret: false,
};
