/** GET /livez, /readyz, /version. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ABI_VERSION } from '../assembly/abi.ts';
import { REASON_CODES } from '../src/engine/index.ts';
import { VERSION } from '../src/http/operations.ts';
import { HOST, Kit, TCP } from './http-kit.ts';

const headers = { host: HOST };

it('is live', async () => {
  const kit = await Kit.create({ secrets: [] });
  const { status, body } = await kit.raw('/livez', { headers }, TCP);
  expect([status, body]).toEqual([200, { status: 'live' }]);
});

it('is ready with secrets and until it drains', async () => {
  const kit = await Kit.create();
  expect((await kit.raw('/readyz', { headers }, TCP)).body).toEqual({ status: 'ready' });
  kit.deps.state.draining = true;
  const draining = await kit.raw('/readyz?verbose', { headers }, TCP);
  expect([draining.status, draining.body]).toEqual([
    503,
    { status: 'not ready', conditions: { service_secrets: true, not_draining: false } },
  ]);
  const empty = await Kit.create({ secrets: [] });
  const { status, body } = await empty.raw('/readyz?verbose', { headers }, TCP);
  expect([status, body]).toEqual([
    503,
    { status: 'not ready', conditions: { service_secrets: false, not_draining: true } },
  ]);
});

it('says its version', async () => {
  const kit = await Kit.create();
  const { body } = await kit.raw('/version', { headers }, TCP);
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(VERSION).toBe(version);
  expect(body).toEqual({
    version,
    abi: ABI_VERSION,
    build: kit.deps.engine.build,
    reasons: { version: 2, codes: [...REASON_CODES] },
    key_types: ['aes', 'aes256k'],
  });
});

it('answers HEAD without a body', async () => {
  const kit = await Kit.create();
  const { status, text } = await kit.raw('/livez', { method: 'HEAD', headers }, TCP);
  expect([status, text]).toEqual([200, '']);
});

it('answers are not kept', async () => {
  const kit = await Kit.create();
  for (const path of ['/livez', '/readyz', '/version', '/nowhere']) {
    const answer = await kit.raw(path, { headers }, TCP);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  }
});
