/** Everything that verifies a work item: the engine in its three forms, the twin, the rivals. */

import * as abi from '../assembly/abi.ts';
import {
  type Challenge,
  Engine,
  type HostContext,
  RecordWriter,
  type VerifyRequest,
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
export async function makeEngine(corpora: readonly Corpus[]): Promise<Engine> {
  const engine = await Engine.create();
  for (const { secretId, encoded } of corpora.flatMap((corpus) => corpus.secrets)) {
    engine.putSecret({ service: SERVICE, secretId, key: encoded });
  }
  return engine;
}

/** Verify with a session, one check, release: objects in, verdicts out. */
export function engineSingle(engine: Engine): Judge {
  return (item) => {
    const verdict = engine.verify(verifyRequest(item), HOST);
    if (!verdict.decision) return verdict.reasonNumber;
    const { handle } = verdict;
    const checked = engine.check({ service: SERVICE, handle, op: item.op }, HOST);
    engine.sessionRelease(handle);
    return capsReason(checked.reasonNumber);
  };
}

/** The same for many items in one call each of verify and check; reasons in order. */
export function engineBatch(engine: Engine): (items: readonly Item[]) => number[] {
  return (items) => {
    const verdicts = engine.verifyBatch(items.map(verifyRequest), HOST);
    const requests = verdicts.map((verdict, i) => ({
      ...{ service: SERVICE, handle: verdict.handle, op: (items[i] as Item).op },
    }));
    const checked = engine.checkBatch(requests, HOST);
    return verdicts.map((verdict, i) => {
      if (!verdict.decision) return verdict.reasonNumber;
      engine.sessionRelease(verdict.handle);
      return capsReason(checked[i]?.reasonNumber as number);
    });
  };
}

/** Records of some items, written before the clock runs. */
export interface RecordSet {
  readonly challenges: readonly Challenge[];
  readonly verify: Uint8Array;
  readonly check: Uint8Array;
  /** Where in `check` each record's handle goes. */
  readonly handles: readonly number[];
}

export function writeRecords(items: readonly Item[]): RecordSet {
  const bytes = new Uint8Array(items.length * RECORD_LEN_MAX);
  const writer = new RecordWriter(bytes);
  for (const [tag, item] of items.entries()) writer.verify(verifyRequest(item), tag);
  const verify = bytes.slice(0, writer.at);
  writer.at = 0;
  const handles = items.map((item, tag) => {
    const { at } = writer;
    writer.check({ service: SERVICE, handle: 1n, op: item.op }, tag);
    return at + abi.RECORD_HANDLE;
  });
  const challenges = items.map((item) => item.challenge);
  return { challenges, verify, check: bytes.slice(0, writer.at), handles };
}

/** The same with binary records in and out. */
export function engineRecords(engine: Engine): (set: RecordSet) => number[] {
  return (set) => {
    const opened = engine.run(set.verify, HOST, set.challenges, abi.FLAG_KEEP);
    const from = new DataView(opened.buffer, opened.byteOffset);
    const into = new DataView(set.check.buffer);
    const reasons: number[] = [];
    const handles: bigint[] = [];
    for (let at = 0, i = 0; at < opened.length; i++) {
      reasons.push(from.getUint16(at + abi.VERDICT_REASON, true));
      const handle = from.getBigUint64(at + abi.VERDICT_HANDLE, true);
      handles.push(handle);
      into.setBigUint64(set.handles[i] as number, handle, true);
      at += from.getUint32(at + abi.VERDICT_BYTES, true);
    }
    const checked = engine.run(set.check, HOST, [], 0);
    const view = new DataView(checked.buffer, checked.byteOffset);
    for (let at = 0, i = 0; at < checked.length; i++) {
      if (reasons[i] === abi.REASON_OK) {
        reasons[i] = capsReason(view.getUint16(at + abi.VERDICT_REASON, true));
        engine.sessionRelease(handles[i] as bigint);
      }
      at += view.getUint32(at + abi.VERDICT_BYTES, true);
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

/** The by-hand verifiers by name. All but the first keep parsed caps, as the engine does. */
export function rivals(corpus: Corpus): Record<string, Judge> {
  const clock = { now: Number(NOW_NS / 1_000_000_000n), skew: 300 };
  const make = <P>(ciphers: Ciphers<P>, caps: CapsSource): Judge =>
    makeRival(ciphers, corpus.secrets, SERVICE, clock, caps);
  return {
    'node:crypto, caps parsed each time': make(nodePlain, parseCaps),
    'node:crypto': make(nodePlain, cachedCaps()),
    'node:crypto tuned': make(nodeTuned, cachedCaps()),
    'node:crypto tuned, decipher kept': make(nodeKept, cachedCaps()),
    noble: make(noble, cachedCaps()),
  };
}

function verifyRequest(item: Item): VerifyRequest {
  const { authorizer, challenge, peer } = item;
  return { service: SERVICE, authorizer, challenge, peer, session: true, tail: false };
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
