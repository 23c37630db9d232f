/**
 * The decision engines that the benchmark measures decide as we do; skipped where they are not
 * installed.
 */

import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { makeEngine } from '../bench/contenders.ts';
import { makePeers } from '../bench/peers.ts';

it.skipIf(!existsSync('bench/peers/node_modules'))('agree with us', async () => {
  const peers = makePeers(await makeEngine([]));
  expect(peers?.differences).toEqual([]);
  expect(peers?.compared).toBeGreaterThan(1000);
});
