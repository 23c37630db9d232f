/** Everything that verifies a work item: the engine in its three forms, the twin, the rivals. */

import * as abi from '../assembly/abi.ts';
import {
  type Challenge,
  type DecideRequest,
  Engine,
  type EngineOptions,
  type HostContext,
  RecordWriter,
} from '../src/engine/index.ts';
import { type TwinInput, verify as twinVerify } from '../test/twin/verify.ts';
import { type Corpus, type Item, NOW_NS, SERVICE } from './items.ts';
import { type CapsSource, cachedCaps, decide, parseCaps } from './rival-caps.ts';
import { type Ciphers, type Judge, makeRival } from './rival-decode.ts';
import { noble } from './rival-noble.ts';
import { nodeKept, nodePlain, nodeTuned } from './rival-node.ts';

export const HOST: HostContext = { nowNs: NOW_NS };
export const BATCH = 256;

/** One engine with the secrets of all, as a service has one. */
export async function makeEngine(
  corpora: readonly Corpus[],
  options: EngineOptions = {},
): Promise<Engine> {
  const engine = await Engine.create(options);
  for (const { secretId, encoded } of corpora.flatMap((corpus) => corpus.secrets)) {
    engine.putSecret({ service: SERVICE, secretId, key: encoded });
  }
  return engine;
}

/** An authorizer and an operation in, the decision out, as objects. */
export function engineSingle(engine: Engine): Judge {
  return (item) => capsReason(engine.decide(decideRequest(item), HOST).reasonNumber);
}

/** The same for many items in one call; reasons in order. */
export function engineBatch(engine: Engine): (items: readonly Item[]) => number[] {
  return (items) => {
    const verdicts = engine.decideBatch(items.map(decideRequest), HOST);
    return verdicts.map((verdict) => capsReason(verdict.reasonNumber));
  };
}

/** Records of some items, written before the clock runs. */
export interface RecordSet {
  /** A challenge for each record: those of checks are not looked at. */
  readonly challenges: readonly Challenge[];
  readonly records: Uint8Array;
}

export function writeRecords(items: readonly Item[]): RecordSet {
  const bytes = new Uint8Array(items.length * RECORD_LEN_MAX);
  const writer = new RecordWriter(bytes);
  for (const [tag, item] of items.entries()) writer.decide(decideRequest(item), tag);
  const challenges = items.flatMap((item) => [item.challenge, item.challenge]);
  return { challenges, records: bytes.slice(0, writer.at) };
}

/** The same with binary records in and out. */
export function engineRecords(engine: Engine): (set: RecordSet) => number[] {
  // The core's memory never moves: one view of it serves all answers.
  const view = new DataView(engine.memory);
  return ({ records, challenges }) => {
    const verdicts = engine.run(records, HOST, challenges, abi.FLAG_KEEP);
    const reasons: number[] = [];
    const begin = verdicts.byteOffset;
    for (let at = begin; at < begin + verdicts.length; ) {
      const opened = view.getUint16(at + abi.VERDICT_REASON, true);
      at += view.getUint32(at + abi.VERDICT_BYTES, true);
      const checked = view.getUint16(at + abi.VERDICT_REASON, true);
      at += view.getUint32(at + abi.VERDICT_BYTES, true);
      reasons.push(opened === abi.REASON_OK ? capsReason(checked) : opened);
    }
    return reasons;
  };
}

/** The slow obvious twin of the tests, with the rivals' caps. */
export function twin(corpus: Corpus): Judge {
  const secrets = corpus.secrets.map(({ secretId, key }) => ({ service: SERVICE, secretId, key }));
  const caps = cachedCaps();
  return (item) => {
    const { authorizer: bytes, challenge } = item;
    const input = { bytes, service: SERVICE, secrets, challenge, nowNs: NOW_NS, policy: POLICY };
    const { reason, ticket, capsText } = twinVerify(input);
    if (reason !== abi.REASON_OK || ticket === undefined) return reason;
    if (ticket.allowAll) return abi.REASON_OK;
    if (capsText === undefined) return abi.REASON_CAPS_NONE;
    const grants = caps(String.fromCharCode(...capsText));
    if (grants === undefined) return abi.REASON_CAPS_UNPARSABLE;
    return decide(grants, item.op, item.peer) ? abi.REASON_OK : abi.REASON_CAPS_NO_MATCHING_GRANT;
  };
}

/** The by-hand verifiers by name: in plain style, and with parsed caps kept, as the engine does. */
export function rivals(corpus: Corpus): Record<string, Judge> {
  const clock = { now: Number(NOW_NS / 1_000_000_000n), skew: 300 };
  const make = <P>(ciphers: Ciphers<P>, caps: CapsSource): Judge =>
    makeRival(ciphers, corpus.secrets, SERVICE, clock, caps);
  return {
    'node:crypto, caps parsed each time': make(nodePlain, parseCaps),
    'node:crypto': make(nodePlain, cachedCaps()),
    'node:crypto tuned': make(nodeTuned, cachedCaps()),
    'node:crypto tuned, decipher kept': make(nodeKept, cachedCaps()),
    'noble, caps parsed each time': make(noble, parseCaps),
    noble: make(noble, cachedCaps()),
  };
}

function decideRequest(item: Item): DecideRequest {
  const { authorizer, challenge, peer, op } = item;
  return { service: SERVICE, authorizer, challenge, peer, op };
}

/** Why caps refuse is the engine's own art; the rivals only say that they do. */
function capsReason(reason: number): number {
  return reason > abi.REASON_CAPS_NO_MATCHING_GRANT && reason <= abi.REASON_CAPS_CLASS_NOT_ALLOWED
    ? abi.REASON_CAPS_NO_MATCHING_GRANT
    : reason;
}

const POLICY: TwinInput['policy'] = {
  plausibility: 'pr71231-order',
  expiry: 'enforce',
  skewNs: 300_000_000_000n,
  allowedTypes: 'ring',
  generalSecret: false,
};

/** More than any record of the work items takes. */
const RECORD_LEN_MAX = 1024;
