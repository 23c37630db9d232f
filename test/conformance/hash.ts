/**
 * The conformance hash: one sha256 over all verdicts, secrets and printed caps of the seeded
 * vectors. Every build of the core in every host must print the same.
 *   hash.ts [simd|plain|relaxed] [COUNT]   through the typed engine: "COUNT HASH" lines
 *   hash.ts --record FILE [COUNT]          the vectors as steps on the ABI, for other hosts
 */

import { type Build, Engine } from '../../src/engine/index.ts';
import { Rng } from '../rng.ts';
import { Recorder, recording } from './recorder.ts';
import { Sink } from './sink.ts';
import { runVectors } from './vectors.ts';

const SEED = 20261124;
/** On Node, Deno and Bun; the hash of the first thousand is printed too. */
export const COUNT = 10_000;

/** "COUNT HASH" after the first thousand vectors and after all of them, on one build. */
export async function hashOf(
  build: Build,
  count: number = COUNT,
  sink: Sink = new Sink(),
): Promise<readonly string[]> {
  const pool = new Rng(SEED + 1);
  const random = (into: Uint8Array): void => into.set(pool.bytes(into.length));
  const engine = await Engine.create({ build, preset: 'server', random, ticketCache: true });
  runVectors(engine, new Rng(SEED), count, sink);
  return sink.marks;
}

/** The file of `count` vectors for hosts that drive the ABI themselves. */
export async function recordOf(count: number = COUNT): Promise<Uint8Array> {
  const recorder = new Recorder();
  const sink = new Sink((vectors) => recorder.mark(vectors));
  return recording(recorder, async () => void (await hashOf('plain', count, sink)));
}

const script = globalThis.process?.argv[1] ?? '';
if (/hash\.[jt]s$/.test(script)) {
  const [, , first = 'simd', second, third] = process.argv;
  if (first === '--record') {
    const { writeFile } = await import('node:fs/promises');
    const file = await recordOf(third === undefined ? COUNT : Number(third));
    await writeFile(second as string, file);
  } else {
    const count = second === undefined ? COUNT : Number(second);
    console.log((await hashOf(first as Build, count)).join('\n'));
  }
}
