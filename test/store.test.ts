/** The stores against their contract. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { MemoryStore } from '../src/store/memory.ts';
import { openStore } from '../src/store/open.ts';
import { storeContract } from './store-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'cephgate-store-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('memory', () => {
  storeContract('memory', async () => new MemoryStore(), { leaseTtlMs: 40, transactions: 1_500 });
});

describe('sqlite', () => {
  let files = 0;
  storeContract('sqlite', () => openStore(`sqlite:${join(folder, `${files++}`, 'store.db')}`), {
    leaseTtlMs: 40,
    transactions: 400,
  });
});
