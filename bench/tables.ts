/** The tables of the benchmark: which cases are measured together. */

import { type CheckRequest, type Engine, RecordWriter } from '../src/engine/index.ts';
import {
  BATCH,
  engineBatch,
  engineRecords,
  engineSingle,
  HOST,
  makeEngine,
  rivals,
  twin,
  writeRecords,
} from './contenders.ts';
import { engineHandshake, nodeHandshake } from './handshake.ts';
import { type Corpus, capsOf, type Item, MATCH_OP, SERVICE } from './items.ts';
import type { CalledCase, Case } from './measure.ts';
import { decide, parseCaps } from './rival-caps.ts';
import type { Judge } from './rival-decode.ts';
import type { Table } from './section.ts';

/** Cold verify: open, all checks, caps decision, wipe; no reply. And the warm check beside it. */
export async function verifyTable(corpus: Corpus, engine: Engine): Promise<Table> {
  const { items, distinct, type } = corpus;
  const single = perItem(items, engineSingle(engine));
  // So small that the caps of a round do not fit: each is compiled anew.
  const unseen = engineSingle(await makeEngine([corpus], { preset: 'small' }));
  const tickets = await warmTickets(corpus);
  const batch = engineBatch(engine);
  const records = engineRecords(engine);
  const groups = inGroups(items);
  const singleSets = items.map((item) => writeRecords([item]));
  const batchSets = groups.map(writeRecords);
  const cases: Case[] = [
    { name: 'cephgate, object', items: 1, run: single },
    { name: 'cephgate, object again (noise)', items: 1, run: single },
    { name: 'cephgate, object, caps never seen', items: 1, run: perItem(distinct, unseen) },
    { name: 'cephgate, record', items: 1, run: cycle(singleSets, records) },
    { name: `cephgate, batch ${BATCH} of objects`, items: BATCH, run: cycle(groups, batch) },
    { name: `cephgate, batch ${BATCH} of records`, items: BATCH, run: cycle(batchSets, records) },
    { name: 'cephgate, warm ticket, object', items: 1, run: perItem(items, engineSingle(tickets)) },
    {
      ...{ name: 'cephgate, warm ticket, record', items: 1 },
      run: cycle(singleSets, engineRecords(tickets)),
    },
    { name: 'cephgate, warm check of 3 grants', items: 1, run: warmCheck(engine, 3) },
    { name: 'cephgate, warm check, record', items: 1, run: warmCheckRecord(engine, 3) },
  ];
  for (const [name, judge] of Object.entries(rivals(corpus))) {
    cases.push({ name, items: 1, run: perItem(items, judge) });
  }
  cases.push({ name: 'twin', items: 1, run: perItem(items, twin(corpus)) });
  return { title: `cold verify, ${type}`, cases };
}

/** An engine that holds the opened ticket of every item. */
export async function warmTickets(corpus: Corpus): Promise<Engine> {
  const engine = await makeEngine([corpus], { ticketCache: true });
  const judge = engineSingle(engine);
  for (const item of corpus.items) judge(item);
  const before = engine.ticketCache.misses;
  for (const item of corpus.items) judge(item);
  if (engine.ticketCache.misses !== before)
    throw new Error('Cannot keep every ticket of the items');
  return engine;
}

/** Caps match alone, parsed before. */
export function capsTable(engine: Engine): Table {
  const cases: Case[] = [];
  const peer = { family: 4, bytes: Uint8Array.of(10, 0, 0, 1) } as const;
  for (const grants of [1, 10, 300, 10_000]) {
    const name = `${grants} grant${grants === 1 ? '' : 's'}`;
    cases.push({ name: `cephgate, ${name}`, items: 1, run: warmCheck(engine, grants) });
    const parsed = parseCaps(capsOf(grants)) ?? [];
    const run = (): boolean => decide(parsed, MATCH_OP, peer);
    cases.push({ name: `by hand, ${name}`, items: 1, run });
  }
  return { title: 'caps match', cases };
}

/** A whole connection: first authorizer, challenge, second authorizer, reply with a secret. */
export function handshakeTable(corpus: Corpus, engine: Engine): Table {
  const { items, type } = corpus;
  const ours = perItem(items, engineHandshake(engine));
  const cases = [
    { name: 'cephgate, handshake', items: 1, run: ours },
    { name: 'node:crypto tuned, handshake', items: 1, run: perItem(items, nodeHandshake(corpus)) },
  ];
  return { title: `with challenge and reply, ${type}`, cases };
}

/** A check against caps compiled before, of which the last grant allows. */
export function warmCheck(engine: Engine, grants: number): () => unknown {
  const request = warmRequest(engine, grants);
  return () => engine.check(request, HOST);
}

/** The same as a record, written before the clock runs. */
export function warmCheckRecord(engine: Engine, grants: number): () => unknown {
  const bytes = new Uint8Array(1024);
  const writer = new RecordWriter(bytes);
  writer.check(warmRequest(engine, grants));
  const record = bytes.slice(0, writer.at);
  return () => engine.run(record, HOST, [], 0);
}

function warmRequest(engine: Engine, grants: number): CheckRequest {
  const { handle } = engine.capsParse(SERVICE, capsOf(grants), HOST, { keep: true });
  const request = { service: SERVICE, handle, op: MATCH_OP };
  const { reason } = engine.check(request, HOST);
  if (reason !== 'ok') throw new Error(`Cannot check caps of ${grants} grants: ${reason}`);
  return request;
}

function perItem(items: readonly Item[], judge: Judge): CalledCase['run'] {
  return cycle(items, judge);
}

function cycle<T>(values: readonly T[], run: (value: T) => unknown): CalledCase['run'] {
  return (i) => run(values[i % values.length] as T);
}

/** The items in groups of a batch; a short corpus is used over and over. */
export function inGroups(items: readonly Item[]): Item[][] {
  const count = Math.max(1, Math.floor(items.length / BATCH));
  return Array.from({ length: count }, (_, g) =>
    Array.from({ length: BATCH }, (_, i) => items[(g * BATCH + i) % items.length] as Item),
  );
}
