/** SIGHUP and SIGTERM on a running sidecar: the last good state, and a graceful end. */

import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { listenConfig } from '../src/cli/configlisten.ts';
import { type LiveConfig, type LiveParts, reload } from '../src/cli/configreload.ts';
import { Settings } from '../src/cli/options.ts';
import { KNOWN_OPTIONS, policyOf } from '../src/cli/settings.ts';
import { State } from '../src/http/state.ts';
import { logged, pause, startServe, stopLeft } from './ops-kit.ts';
import { send, temporaryFolder } from './spawn.ts';

afterEach(stopLeft);

const LISTEN = ['--listen', 'tcp:127.0.0.1:0', '--listen', 'unix:s'];
const TOKENS = ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'] as const;

describe('SIGHUP', () => {
  it('takes config and tokens together, or neither', async () => {
    const own = temporaryFolder('hup');
    const [config, tokens] = ['config.json', 'tokens'].map((name) => join(own.path, name));
    const write = (settings: object, token: string): void => {
      writeFileSync(config!, JSON.stringify({ token_file: tokens, ...settings }));
      writeFileSync(tokens!, `verify ${token}\n`, { mode: 0o600 });
    };
    write({}, TOKENS[0]);
    const sidecar = await startServe(own.path, [...LISTEN, '--config', config!]);
    const tcp = { host: '127.0.0.1', port: sidecar.port };
    const statusOf = async (token: string): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      return (await send(tcp, '/v1/verify', {}, headers)).status;
    };
    const hangup = (): Promise<Record<string, unknown>> =>
      logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect([await statusOf(TOKENS[0]), await statusOf(TOKENS[1])]).toEqual([400, 401]);

    write({ skew: 1, policy: 'strict' }, TOKENS[1]);
    const good = await hangup();
    expect(good).toMatchObject({ level: 'info' });
    expect(good.restart_needed).toBeUndefined();
    expect([await statusOf(TOKENS[0]), await statusOf(TOKENS[1])]).toEqual([401, 400]);

    for (const [settings, message] of [
      [{ skew: 'x' }, 'wrong value of "skew in'],
      [{ skwe: 1 }, 'the nearest is "skew"'],
      [{ rate_limit: -1 }, 'wrong value of "rate_limit in'],
      [{ secrets: join(own.path, 'none') }, undefined],
    ] as const) {
      write(settings, TOKENS[0]);
      const answer = await hangup();
      if (message === undefined) {
        expect(answer).toMatchObject({ level: 'info', restart_needed: 'secrets' });
        continue;
      }
      expect(answer.level).toBe('error');
      expect(answer.message).toContain(message);
      // The token file was good, and still does not count.
      expect([await statusOf(TOKENS[0]), await statusOf(TOKENS[1])]).toEqual([401, 400]);
    }
    // A flag wins over the file, so nothing is new about `listen`.
    write({ sign: true, listen: ['unix:other'], allow_host: 'x' }, TOKENS[0]);
    expect((await hangup()).restart_needed).toBe('allow-host,sign');
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
    own.remove();
  });
});

describe('a reload', () => {
  it('replaces the policy by another object, but not what only a start can set', () => {
    const configOf = (values: Record<string, string>): LiveConfig => {
      const given = new Map(Object.entries(values).map(([name, value]) => [name, [value]]));
      const flags = { help: false, words: [], values: given };
      const settings = new Settings(KNOWN_OPTIONS, [], flags, {});
      const files = { tokenFile: undefined, secretsFile: undefined };
      return { settings, policy: policyOf(settings), listening: listenConfig(settings), ...files };
    };
    const started = configOf({ skew: '1', release: '16' });
    const deps = { policy: started.policy };
    const logged: unknown[] = [];
    const random = (n: number): Uint8Array => new Uint8Array(n);
    const state = new State({
      keys: { current: random(32), previous: undefined } as never,
      random,
    });
    const live = { deps, state, log: (record: unknown) => void logged.push(record) };
    const parts = { replaceSecrets: undefined, tokens: undefined, tls: undefined };
    const facts = (): object => ({ secrets: 3 });
    const fresh = { skew: '2', release: '20', policy: 'strict', 'rate-limit': '5' };
    reload(started, () => configOf(fresh), { ...live, ...parts, facts } as LiveParts);
    expect(deps.policy).not.toBe(started.policy);
    expect(deps.policy).toMatchObject({ skewNs: 2_000_000_000n, plausibility: 'strict' });
    expect(deps.policy.release).toBe(16);
    expect(started.policy).toMatchObject({ skewNs: 1_000_000_000n });
    for (let i = 0; i < 10; i++) expect(state.rates.take('a', 0n)).toBe(0);
    expect(state.rates.take('a', 0n)).toBe(1);
    expect(logged).toEqual([
      { level: 'info', event: 'reload', secrets: 3, restart_needed: 'release' },
    ]);
  });
});

describe('SIGTERM', () => {
  it('is not ready but serves for the delay, ends what runs, and takes nothing new', async () => {
    const own = temporaryFolder('term');
    const drain = ['--drain-delay', '3', '--drain-deadline', '20'];
    const sidecar = await startServe(own.path, [...LISTEN, ...drain]);
    const tcp = { host: '127.0.0.1', port: sidecar.port };
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await send({ ...tcp, agent: kept }, '/readyz')).status).toBe(200);
    const began = Date.now();
    await logged(sidecar, 'drain', () => sidecar.raise('SIGTERM'));
    const draining = await send({ ...tcp, agent: kept }, '/readyz?verbose');
    expect(draining.status).toBe(503);
    expect(draining.body.conditions.not_draining).toBe(false);
    if (!('Deno' in globalThis)) expect(draining.headers.connection).toBe('close');
    expect((await send(tcp, '/v1/verify', {})).status).toBe(400);

    // A request that is under way when the listeners close.
    const slow = slowRequest(tcp.port);
    const refused = async (): Promise<unknown> =>
      send(tcp, '/livez').then(
        ({ status }) => status,
        ({ code }) => code,
      );
    await expect.poll(refused, { timeout: 15_000 }).toBe('ECONNREFUSED');
    slow.finish();
    // Deno lets the answer out, but no more of the body in.
    expect(await slow.status).toBe(400);
    expect(await sidecar.ended).toBe(0);
    // The delay was kept, and the deadline was not needed.
    expect(Date.now() - began).toBeGreaterThan(2_900);
    expect(Date.now() - began).toBeLessThan(20_000);
    kept.destroy();
    own.remove();
  });

  it('ends at the deadline, whoever still sends', async () => {
    const own = temporaryFolder('deadline');
    const sidecar = await startServe(own.path, [...LISTEN, '--drain-deadline', '1']);
    const slow = slowRequest(sidecar.port);
    await pause(200);
    const began = Date.now();
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
    if (!('Deno' in globalThis)) expect(Date.now() - began).toBeGreaterThan(500);
    // A body may take 10 s: it is not that which ended it.
    expect(Date.now() - began).toBeLessThan(9_000);
    if (!('Deno' in globalThis)) expect(await slow.status).toBe(0);
    own.remove();
  });

  it('sent twice ends at once', async () => {
    const own = temporaryFolder('twice');
    const drain = ['--drain-delay', '60', '--drain-deadline', '60'];
    const sidecar = await startServe(own.path, [...LISTEN, ...drain]);
    const slow = slowRequest(sidecar.port);
    await logged(sidecar, 'drain', () => sidecar.raise('SIGTERM'));
    sidecar.raise('SIGINT');
    expect(await sidecar.ended).toBe(0);
    if (!('Deno' in globalThis)) expect(await slow.status).toBe(0);
    own.remove();
  });
});

/** A request whose body is half sent; its status is 0 if the connection was cut. */
function slowRequest(port: number): { readonly status: Promise<number>; finish(): void } {
  const headers = { 'content-type': 'application/json', 'content-length': '2' };
  const options = { host: '127.0.0.1', port, path: '/v1/verify', method: 'POST', headers };
  const sent = request({ ...options, agent: false });
  const status = new Promise<number>((resolve) => {
    sent.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', () => resolve(0));
  });
  sent.write('{');
  return { status, finish: () => void sent.end('}') };
}
