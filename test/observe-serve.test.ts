/** `cephgate serve` with its flags about metrics, logs and the decision log, as a process. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { makeTicket } from './authorizers.ts';
import { AES256K_ID, aes256kSecret, b64, challengeIn, random, SECRETS } from './http-kit.ts';
import { send, spawnCephgate, spawnSidecar, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('observe-serve');
afterAll(() => folder.remove());

const DENIED = { service: 'osd', caps: 'allow r pool=a', op: { pool: 'b', object: 'plan' } };

it('writes what it decided to the decision log, and everything else to stderr', async () => {
  const flags = ['--decision-log', 'decisions', '--decision-log-hash-objects', '--metrics'];
  const sidecar = await spawnSidecar(folder.path, undefined, flags);
  const { socketPath, host, port } = sidecar;
  const answer = await send({ socketPath }, '/v1/check', DENIED, { 'cephgate-request-id': 'mine' });
  expect(answer.headers['cephgate-request-id']).toBe('mine');
  await send({ host, port }, '/nowhere');
  const { status, text } = await send({ host, port }, '/metrics');
  expect(status).toBe(200);
  expect(text).toContain('cephgate_decisions_total{call="check",service="osd",decision="denied"');
  expect(await sidecar.stop()).toBe(0);
  const path = join(folder.path, 'decisions');
  const decisions = readFileSync(path, 'utf8').trimEnd().split('\n');
  expect(decisions.map((line) => JSON.parse(line))).toMatchObject([
    { event: 'decision', request_id: 'mine', decision_id: answer.body.decision_id, pool: 'b' },
  ]);
  expect(decisions[0]).not.toContain('plan');
  for (const name of ['decisions', 'data/decision-log.key']) {
    expect(statSync(join(folder.path, name)).mode & 0o777).toBe(0o600);
  }
  const lines = sidecar.err
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const line of lines) {
    expect(Object.keys(line).slice(0, 3)).toEqual(['time', 'level', 'event']);
    expect(line.event).not.toBe('decision');
  }
  expect(lines.some(({ event, code }) => event === 'refused' && code === 'route.unknown')).toBe(
    true,
  );
});

it('opens /metrics to TCP without a token only where it is told to', async () => {
  const sidecar = await spawnSidecar(folder.path);
  const { socketPath, host, port } = sidecar;
  const refused = await send({ host, port }, '/metrics');
  expect(refused.text).toContain('metrics.disabled');
  expect((await send({ socketPath }, '/metrics')).status).toBe(200);
  await send({ socketPath }, '/v1/check', DENIED);
  expect(await sidecar.stop()).toBe(0);
  expect(sidecar.err).toContain('"event":"decision"');
});

it.each([
  ['on', 2],
  ['off', 0],
])('keeps opened tickets unless told not to: --ticket-cache %s', async (cache, hits) => {
  writeFileSync(join(folder.path, 'secrets.json'), formatSecrets(SECRETS), { mode: 0o600 });
  const flags = ['--secrets', 'secrets.json', '--ticket-cache', cache];
  const sidecar = await spawnSidecar(folder.path, undefined, flags);
  const { socketPath } = sidecar;
  const createdNs = BigInt(Date.now()) * 1_000_000n;
  const ticket = makeTicket(aes256kSecret, random, { createdNs, secretId: AES256K_ID });
  for (const connection of ['c1', 'c2']) {
    const base = { service: 'osd', peer: '192.0.2.7', connection };
    const begin = { ...base, authorizer: b64(ticket.authorizer()) };
    const first = await send({ socketPath }, '/v1/verify', begin);
    const authorizer = b64(ticket.authorizer(challengeIn(ticket, first as never)));
    const { challenge_state } = first.body;
    const final = await send({ socketPath }, '/v1/verify', {
      ...base,
      authorizer,
      challenge_state,
    });
    expect(final.body.reason.code).toBe('ok');
  }
  const { text } = await send({ socketPath }, '/metrics');
  expect(text).toContain(`\ncephgate_ticket_cache_hits_total ${hits}\n`);
  expect(text).toContain(`\ncephgate_ticket_cache_entries ${cache === 'on' ? 1 : 0}\n`);
  expect(await sidecar.stop()).toBe(0);
});

it('refuses --ticket-cache maybe', async () => {
  const argv = ['serve', '--data', join(folder.path, 'other'), '--ticket-cache', 'maybe'];
  const spawned = spawnCephgate(argv);
  expect(await spawned.ended).toBe(2);
  expect(spawned.err).toContain('wrong value of "--ticket-cache": expected one of on, off');
});

it.each([
  ['--decision-log-sample', '0'],
  ['--decision-log-sample', '1.5'],
  ['--decision-log-size', '0'],
  ['--decision-log-keep', '-1'],
])('refuses %s %s', async (...flag) => {
  const spawned = spawnCephgate(['serve', '--data', join(folder.path, 'other'), ...flag]);
  expect(await spawned.ended).toBe(2);
  expect(spawned.err).toContain(`wrong value of "${flag[0]}": expected a whole number`);
});
