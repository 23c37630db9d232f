/** The vectors of the conformance hash: they reach every answer, and the ABI alone is enough. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { REASON_CODES, type Verdict } from '../src/engine/index.ts';
import { hashOf, recordOf } from './conformance/hash.ts';
import { Sink } from './conformance/sink.ts';
import { drive } from './runtimes/drive.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const COUNT = 1000;
/** Answers of the sidecar alone. */
const NOT_OF_THE_CORE = ['authorizer.challenge_expired', 'entity.unknown', 'store.stale'];
const SOURCES = [abi.SOURCE_COLD, abi.SOURCE_TICKET_CACHE, abi.SOURCE_SESSION, abi.SOURCE_CAPS];

/** Counts what it is given. */
class Counting extends Sink {
  readonly reasons: Set<string> = new Set();
  readonly allowed: Set<string> = new Set();
  readonly sources: Set<number> = new Set();
  secrets = 0;

  override verdicts(all: readonly Verdict[]): void {
    super.verdicts(all);
    for (const verdict of all) {
      this.reasons.add(verdict.reason);
      this.sources.add(verdict.source);
      if (verdict.secrets !== undefined) this.secrets += 1;
      if (verdict.decision && verdict.challenged) this.allowed.add(`${verdict.ticketKeyType}`);
    }
  }
}

it('reaches every reason, every source, both key types and the secret block', async () => {
  const sink = new Counting();
  await hashOf('plain', COUNT, sink);
  const expected = REASON_CODES.filter((reason) => !NOT_OF_THE_CORE.includes(reason));
  expect([...sink.reasons].sort()).toEqual([...expected].sort());
  expect([...sink.allowed].sort()).toEqual(['aes', 'aes256k']);
  expect([...sink.sources].sort()).toEqual(SOURCES);
  expect(sink.secrets).toBeGreaterThan(100);
});

it('gives the same hash to a host that knows the ABI alone', async () => {
  const wasm = readFileSync(join(root, 'wasm', 'core.plain.wasm'));
  const steps = await recordOf(50);
  const [expected] = await hashOf('simd', 50);
  expect(await drive(new WebAssembly.Module(wasm), steps)).toEqual([expected]);
  // One bit of one request, and the hash is another: the record's tag comes back.
  const view = new DataView(steps.buffer, steps.byteOffset, steps.byteLength);
  let at = 4;
  while (view.getUint32(at, true) !== 1 || view.getUint32(at + 4, true) !== abi.LAYOUT_REQUEST) {
    const words = { 1: 4 + ((view.getUint32(at + 12, true) + 3) >> 2), 2: 7, 3: 2, 4: 4, 5: 2 };
    at += 4 * words[view.getUint32(at, true) as 1];
  }
  view.setUint8(at + 16 + abi.RECORD_TAG, 1);
  expect(await drive(new WebAssembly.Module(wasm), steps)).not.toEqual([expected]);
});
