/**
 * The four capability languages behind one face: parse a cap, print it, ask it, have it explained.
 * Mon and mgr caps are decided here; osd and mds caps by the core, through the caller's Engine.
 */

import { CAPS_TEXT_LEN_MAX } from '../../assembly/abi.ts';
import type { ReasonCode } from '../engine/codes.ts';
import type { Engine } from '../engine/engine.ts';
import type { MdsOp, OsdOp } from '../engine/types.ts';
import type { Verdict } from '../engine/verdict.ts';
import { type BitAnswer, type BitRequest, needBits } from './bits.ts';
import { type CapGrant, fromByteString, permLetters, toByteString } from './capgrammar.ts';
import {
  type CoreService,
  checkCore,
  conditionName,
  coreError,
  coreSpans,
  parseCore,
} from './corecaps.ts';
import { parseMgrCap, printMgrCap } from './mgrcap.ts';
import { checkMgr } from './mgrgrant.ts';
import { isAllowAllGrant, parseMonCap, printMonCap } from './moncap.ts';
import { checkMon } from './mongrant.ts';
import type { BitOp, CapsRequest, CapsService } from './request.ts';
import { type WrittenGrant, writtenGrants } from './spans.ts';

export { type BitOp, type CapsRequest, type CapsService, readRequest } from './request.ts';

export interface CapsOptions {
  /** Whose grammar and profiles. Default 20. */
  readonly release?: 16 | 20;
  /** Needed for osd and mds. */
  readonly engine?: Engine;
}

/** A cap that parsed. */
export type Grants = BitGrants | CoreGrants;

export interface BitGrants {
  readonly service: 'mon' | 'mgr';
  readonly release: 16 | 20;
  /** Byte string. */
  readonly text: string;
  readonly list: readonly CapGrant[];
}

export interface CoreGrants {
  readonly service: CoreService;
  readonly release: 16 | 20;
  /** Byte string. */
  readonly text: string;
  readonly engine: Engine;
  readonly canonical: string;
  readonly allowAll: boolean;
}

export type Parsed =
  | { readonly ok: true; readonly grants: Grants }
  | {
      readonly ok: false;
      /** Ceph's words. */
      readonly error: string;
      /** Offset in bytes at which the parser stopped. */
      readonly stop: number;
    };

export interface CapsDecision {
  readonly allowed: boolean;
  /** `ok`, or why not. */
  readonly reason: ReasonCode;
  /** Index of the grant, as written, that allowed or missed nearest. */
  readonly grant: number | undefined;
  /** What the nearest miss failed on. */
  readonly condition: string | undefined;
  /** Mon and mgr: the needed letters that no grant gives. */
  readonly missing: string | undefined;
}

export interface GrantExplanation extends WrittenGrant {
  /** Index of the grant as written, from 0. */
  readonly grant: number;
  /** The condition that failed first; null for the grant that allows. */
  readonly failed: string | null;
}

export interface CapsExplanation extends CapsDecision {
  readonly grants: readonly GrantExplanation[];
}

/**
 * Parses a cap. A text over CAPS_TEXT_LEN_MAX, or with more grants than the core takes, is refused
 * in our words, as Ceph has no such limit.
 *
 * @throws TypeError for osd and mds without `engine`
 */
export function parse(
  service: CapsService,
  text: string | Uint8Array,
  options: CapsOptions = {},
): Parsed {
  const release = options.release ?? 20;
  const bytes = toByteString(text);
  if (bytes.length > CAPS_TEXT_LEN_MAX) return { ok: false, error: tooLarge(service), stop: 0 };
  if (service === 'mon' || service === 'mgr') {
    const parsed = service === 'mon' ? parseMonCap(bytes) : parseMgrCap(bytes, release);
    const { grants, stop, error } = parsed;
    if (error !== undefined) return { ok: false, error: fromByteString(error), stop };
    return { ok: true, grants: { service, release, text: bytes, list: grants } };
  }
  const { engine } = options;
  if (engine === undefined) throw new TypeError(`Cannot parse ${service} caps: no "engine"`);
  const verdict = parseCore(engine, service, bytes, release);
  if (!verdict.decision) {
    const known = verdict.reason === 'caps.unparsable';
    const error = known ? coreError(verdict, service, bytes) : tooLarge(service);
    return { ok: false, error, stop: known ? verdict.stop : 0 };
  }
  const { caps: canonical, allowAll } = verdict;
  return { ok: true, grants: { service, release, text: bytes, engine, canonical, allowAll } };
}

/** Ceph's printed form, which is not always a cap text again. */
export function print(grants: Grants): string {
  if ('canonical' in grants) return grants.canonical;
  const printed = grants.service === 'mon' ? printMonCap(grants.list) : printMgrCap(grants.list);
  return fromByteString(printed);
}

/** The coarse question of administrative messages; networks play no part in it. */
export function isAllowAll(grants: Grants): boolean {
  return 'allowAll' in grants ? grants.allowAll : grants.list.some(isAllowAllGrant);
}

/** The grants as they stand in the text. */
export function written(grants: Grants): WrittenGrant[] {
  const spans = 'list' in grants ? grants.list : coreSpans(grants.engine, grants);
  return writtenGrants(grants.text, spans);
}

/** May it? The operation must be one of the caps' service. */
export function check(grants: Grants, request: CapsRequest): CapsDecision {
  return 'list' in grants
    ? decisionOf(answer(grants, request))
    : coreDecision(askCore(grants, request, false));
}

/** The same answer, and how each grant fared. */
export function explain(grants: Grants, request: CapsRequest): CapsExplanation {
  if (!('list' in grants)) {
    const verdict = askCore(grants, request, true);
    return { ...coreDecision(verdict), grants: coreExplanation(verdict, grants.text) };
  }
  const answered = answer(grants, request);
  const pieces = writtenGrants(grants.text, grants.list);
  const explained = answered.grants.map(({ failed }, grant) => ({
    grant,
    ...pieces[grant]!,
    failed: failed ?? null,
  }));
  return { ...decisionOf(answered), grants: explained };
}

function answer(grants: BitGrants, request: CapsRequest): BitAnswer {
  const asked = bitRequest(request);
  return grants.service === 'mon'
    ? checkMon(grants.list, asked, grants.release)
    : checkMgr(grants.list, asked);
}

function bitRequest({ op, peer }: CapsRequest): BitRequest {
  const { entity, service, module, command, args, read, write, exec } = op as BitOp;
  const bytes = (text: string | undefined): string => toByteString(text ?? '');
  return {
    entity: bytes(entity),
    service: bytes(service),
    module: bytes(module),
    command: bytes(command),
    args: new Map(Object.entries(args ?? {}).map(([key, value]) => [bytes(key), bytes(value)])),
    need: needBits(read ?? false, write ?? false, exec ?? false),
    peer,
  };
}

function decisionOf({ allowed, grant, condition, missing }: BitAnswer): CapsDecision {
  const miss = condition === 'network' ? 'caps.network_mismatch' : 'caps.no_matching_grant';
  const letters = missing === 0 ? undefined : permLetters(missing);
  return { allowed, reason: allowed ? 'ok' : miss, grant, condition, missing: letters };
}

function askCore(grants: CoreGrants, { op, peer }: CapsRequest, detailed: boolean): Verdict {
  return checkCore(grants.engine, grants, op as OsdOp | MdsOp, peer, detailed);
}

function coreDecision(verdict: Verdict): CapsDecision {
  const { decision: allowed, reason, grant } = verdict;
  const condition = allowed ? undefined : conditionName(verdict.condition);
  return { allowed, reason, grant, condition, missing: undefined };
}

/** The explanation in a verdict of the core on these caps, a byte string. */
export function coreExplanation(verdict: Verdict, caps: string): GrantExplanation[] {
  const { detail } = verdict;
  const pieces = writtenGrants(caps, detail);
  return detail.map(({ grant, condition }, index) => ({
    grant,
    ...pieces[index]!,
    failed: conditionName(condition) ?? null,
  }));
}

function tooLarge(service: CapsService): string {
  return `${service} capability is too large: at most ${CAPS_TEXT_LEN_MAX} bytes are taken`;
}
