/** Whether all contenders give the same verdict on every item, the odd ones too. */

import { type Engine, REASON_CODES } from '../src/engine/index.ts';
import {
  BATCH,
  engineBatch,
  engineRecords,
  engineSingle,
  rivals,
  twin,
  writeRecords,
} from './contenders.ts';
import type { Corpus, Item } from './items.ts';
import { warmTickets } from './tables.ts';

export interface Agreement {
  /** Verdicts compared. */
  readonly compared: number;
  /** One line per disagreement. */
  readonly differences: readonly string[];
  /** How often each reason was given. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Judges every item by every contender; the twin is what the others are compared with. */
export async function agree(corpus: Corpus, engine: Engine): Promise<Agreement> {
  const items = [...corpus.items, ...corpus.distinct.slice(0, DISTINCT), ...corpus.odd];
  const batch = engineBatch(engine);
  const records = engineRecords(engine);
  const answers: Record<string, readonly number[]> = {
    'cephgate, object': items.map(engineSingle(engine)),
    'cephgate, warm ticket': items.map(engineSingle(await warmTickets(corpus))),
    'cephgate, batch of objects': inBatches(items, batch),
    'cephgate, record': items.flatMap((item) => records(writeRecords([item]))),
    'cephgate, batch of records': inBatches(items, (part) => records(writeRecords(part))),
  };
  for (const [name, judge] of Object.entries(rivals(corpus))) answers[name] = items.map(judge);

  const expected = items.map(twin(corpus));
  const differences: string[] = [];
  for (const [name, reasons] of Object.entries(answers)) {
    expected.forEach((reason, i) => {
      if (reasons[i] === reason) return;
      const [ours, theirs] = [REASON_CODES[reasons[i] ?? -1], REASON_CODES[reason]];
      differences.push(`${corpus.type} item ${i}: ${name} says ${ours}, the twin ${theirs}`);
    });
  }
  const reasons: Record<string, number> = {};
  for (const reason of expected) {
    const name = REASON_CODES[reason] as string;
    reasons[name] = (reasons[name] ?? 0) + 1;
  }
  return { compared: items.length * Object.keys(answers).length, differences, reasons };
}

function inBatches(items: readonly Item[], judge: (part: readonly Item[]) => number[]): number[] {
  const reasons: number[] = [];
  for (let at = 0; at < items.length; at += BATCH) {
    reasons.push(...judge(items.slice(at, at + BATCH)));
  }
  return reasons;
}

/** How many of the tickets with caps of their own are compared. */
const DISTINCT = 128;
