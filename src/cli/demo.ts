/**
 * `npm run demo`: a tour of one minute. Exchanges recorded from real Ceph clusters go through the
 * engine with the clock and the challenge of their recording; then a user is made, logs in, is
 * verified, allowed, denied and revoked, live. One line a step; exit code 1 if any step is not as
 * expected.
 */

import process from 'node:process';
import { Engine } from '../engine/engine.ts';
import { live } from './demolive.ts';
import { recordedAes, recordedAes256k } from './demorecorded.ts';
import { type Io, processIo } from './io.ts';

/** One thing that is shown: what was expected, and whether it was so. */
export interface Step {
  readonly what: string;
  readonly good: boolean;
  /** What was seen. */
  readonly seen: string;
}

/** Runs all steps; returns the exit code. */
export async function demo(io: Pick<Io, 'out'>): Promise<number> {
  const engine = await Engine.create({ preset: 'small' });
  let failures = 0;
  let count = 0;
  const show = (title: string, steps: readonly Step[]): void => {
    io.out(`${title}\n`);
    for (const { what, good, seen } of steps) {
      io.out(`  ${good ? 'as expected' : 'NOT AS EXPECTED'}: ${what}: ${seen}\n`);
      count += 1;
      failures += good ? 0 : 1;
    }
  };
  show('Recorded from Ceph 16.2.15, key type aes', recordedAes(engine));
  show('Recorded from Ceph 19.2.6, key type aes256k', recordedAes256k(engine));
  show('Live over HTTP: the story of client.john', await live(engine));
  io.out(`${count - failures} of ${count} steps as expected\n`);
  engine.wipe();
  return failures === 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && /[\\/]demo\.[jt]s$/.test(process.argv[1])) {
  process.exitCode = await demo(processIo);
}
