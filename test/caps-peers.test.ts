/**
 * The decision engines that the benchmark measures decide as we do; skipped where they are not
 * installed.
 */

import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { makeEngine } from '../bench/contenders.ts';
import { makeDecisions } from '../bench/peer-decisions.ts';

it.skipIf(!existsSync('bench/peers/node_modules'))('agree with us', async () => {
  const { compared, differences, cedar } = await makeDecisions(await makeEngine([]));
  cedar?.stop();
  expect(differences).toEqual([]);
  expect(compared).toBeGreaterThan(1000);
});
