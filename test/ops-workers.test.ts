/** `serve --workers`: processes that share sockets, secrets and state keys, but no sessions. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MALLOC_ENVIRONMENT, NODE_OPTIONS } from '../src/cli/memory.ts';
import { FramesClient } from '../src/client/index.ts';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { makeTicket, type TestTicket } from './authorizers.ts';
import { OSD, PEER } from './frames-kit.ts';
import { AES256K_ID, aes256kSecret, b64, challengeIn, random, SECRETS } from './http-kit.ts';
import { pause } from './ops-kit.ts';
import {
  type HttpAnswer,
  type SpawnedSidecar,
  send,
  spawnCephgate,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';

const onNode = !('Deno' in globalThis) && process.versions.bun === undefined;
const TOKEN = 'a'.repeat(32);
const folder = temporaryFolder('workers');
const files = join(folder.path, 'tokens');
let sidecar: SpawnedSidecar;
let framesPath: string;

/** A connection of its own: the next worker gets it. */
function post(path: string, body?: unknown): Promise<HttpAnswer> {
  return send({ socketPath: sidecar.socketPath, agent: false }, path, body);
}

function byToken(): Promise<HttpAnswer> {
  const { host, port } = sidecar;
  const where = { host, port, agent: false };
  const body = { service: 'osd', authorizer: '' };
  return send(where, '/v1/verify', body, { authorization: `Bearer ${TOKEN}` });
}

/** Whatever a failed test has left; as a rule it has ended. */
async function stopped(): Promise<void> {
  if (sidecar?.child.exitCode === null && sidecar.child.signalCode === null) {
    await sidecar.stop('SIGKILL');
  }
}

function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Waits for it, for as long as a slow machine may take. */
async function until<T>(what: string, ask: () => Promise<T | undefined> | T | undefined) {
  for (let waited = 0; waited < 40_000; waited += 50) {
    const found = await ask();
    if (found !== undefined && found !== false) return found;
    await pause(50);
  }
  throw new Error(`not in time: ${what}; ${sidecar.err.slice(-2_000)}`);
}

function ticket(): TestTicket {
  const createdNs = BigInt(Date.now()) * 1_000_000n;
  return makeTicket(aes256kSecret, random, { createdNs, secretId: AES256K_ID });
}

/** The session and what belongs to it; both steps go to whichever worker is next. */
async function accepted(connection: string): Promise<Record<string, unknown>> {
  const own = ticket();
  const base = { service: 'osd', peer: '192.0.2.7', connection };
  const first = await post('/v1/verify', { ...base, authorizer: b64(own.authorizer()) });
  const challenge = challengeIn(own, first as never);
  const request = { ...base, authorizer: b64(own.authorizer(challenge)) };
  const { challenge_state } = first.body;
  const final = await post('/v1/verify', { ...request, challenge_state });
  expect(final.body.reason.code).toBe('ok');
  return { ...request, ...final.body };
}

describe.skipIf(!onNode)('two workers', () => {
  beforeAll(async () => {
    writeFileSync(join(folder.path, 'secrets.json'), formatSecrets(SECRETS), { mode: 0o600 });
    writeFileSync(files, `accept ${'b'.repeat(32)}\n`, { mode: 0o600 });
    framesPath = join(folder.path, 'data', 'frames.sock');
    sidecar = await spawnSidecar(folder.path, undefined, [
      ...['--workers', '2', '--secrets', 'secrets.json', '--token-file', 'tokens'],
      ...['--frames-listen', `unix:${framesPath}`, '--decision-log', 'decisions'],
    ]);
  });
  afterAll(async () => {
    await stopped();
    folder.remove();
  });

  it('share sockets that nobody else may open', () => {
    for (const path of [sidecar.socketPath, framesPath]) {
      expect([path, statSync(path).mode & 0o777]).toEqual([path, 0o660]);
    }
    expect(children(sidecar.child.pid!)).toHaveLength(2);
  });

  it('keep the memory of bodies, as malloc is told', () => {
    for (const pid of children(sidecar.child.pid!)) {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      for (const pair of Object.entries(MALLOC_ENVIRONMENT)) {
        expect(environment).toContain(pair.join('='));
      }
      const options = environment.find((each) => each.startsWith('NODE_OPTIONS='));
      expect(options).toMatch(`NODE_OPTIONS=${NODE_OPTIONS}`);
    }
  });

  it('keep a session each; the receipt opens it at the other', async () => {
    const { session, receipt, service, peer, connection, authorizer } = await accepted('named');
    const op = { pool: 'liverpool', object: 'o', read: true };
    const check = (of: unknown) => post('/v1/check', { service, session: of, peer, op });
    const unknown = await until('the other worker', async () => {
      const answer = await check(session);
      return answer.body.reason.code === 'ok' ? undefined : answer;
    });
    expect(unknown.body.reason.code).toBe('session.unknown');
    const again = await post('/v1/verify', { service, peer, connection, authorizer, receipt });
    expect(again.body).toMatchObject({ decision: true, freshness: 'receipt' });
    expect(again.body.reply).toBeUndefined();
    await until('its worker', async () => {
      const { code } = (await check(again.body.session)).body.reason;
      expect(['ok', 'session.unknown']).toContain(code);
      return code === 'ok' || undefined;
    });
  });

  it('take the challenge of the other only for a connection that was named', async () => {
    const own = ticket();
    const seen = await until('both', async () => {
      const base = { service: 'osd', peer: '192.0.2.7' };
      const first = await post('/v1/verify', { ...base, authorizer: b64(own.authorizer()) });
      const authorizer = b64(own.authorizer(challengeIn(own, first as never)));
      const { challenge_state } = first.body;
      const { code } = (await post('/v1/verify', { ...base, authorizer, challenge_state })).body
        .reason;
      expect(['ok', 'authorizer.challenge_expired']).toContain(code);
      return code === 'ok' ? undefined : code;
    });
    expect(seen).toBe('authorizer.challenge_expired');
  });

  it('both speak frames', async () => {
    for (let n = 0; n < 4; n++) {
      const client = await FramesClient.connect(framesPath);
      const question = { service: OSD, authorizer: ticket().authorizer(), peer: PEER };
      const verdict = await client.verify({ ...question, connection: 'f', reply: true });
      expect(verdict.reason).toBe('authorizer.challenge_required');
      client.close();
    }
  });

  it('are counted together, and log for themselves', async () => {
    const metrics = async (): Promise<string> => (await post('/metrics')).text;
    const counted = (text: string): number =>
      Number(
        /^cephgate_http_requests_total\{route="\/livez",status="200"\} ([0-9]+)$/m.exec(
          text,
        )?.[1] ?? 0,
      );
    const before = counted(await metrics());
    for (let n = 0; n < 6; n++) await post('/livez');
    expect(counted(await metrics())).toBe(before + 6);
    const lines = await until('both logs', () => {
      const logs = [1, 2].map((n) =>
        readFileSync(join(folder.path, `decisions-worker${n}`), 'utf8'),
      );
      return logs.every((text) => text.includes('"event":"decision"')) ? logs : undefined;
    });
    for (const text of lines) for (const line of text.trim().split('\n')) JSON.parse(line);
  });

  it('follow the parent when all is read again, and keep what was good', async () => {
    const statuses = async (): Promise<number[]> => {
      const answers = [];
      for (let n = 0; n < 4; n++) answers.push((await byToken()).status);
      return answers;
    };
    expect(await statuses()).toEqual([401, 401, 401, 401]);
    writeFileSync(files, `accept ${TOKEN}\n`, { mode: 0o600 });
    sidecar.raise('SIGHUP');
    await until(
      'the new token',
      async () => (await statuses()).every((each) => each === 200) || undefined,
    );
    writeFileSync(files, 'nonsense\n', { mode: 0o600 });
    const failures = (): number => sidecar.err.split('"level":"error","event":"reload"').length;
    const before = failures();
    sidecar.raise('SIGHUP');
    await until('the refusal', () => failures() > before || undefined);
    expect(await statuses()).toEqual([200, 200, 200, 200]);
  });

  it('are started again when they crash, one or all', async () => {
    const { pid } = sidecar.child;
    for (const count of [1, 2]) {
      const victims = children(pid!).slice(0, count);
      for (const victim of victims) process.kill(victim, 'SIGKILL');
      await until('new ones', () => {
        const now = children(pid!);
        return (now.length === 2 && !now.some((each) => victims.includes(each))) || undefined;
      });
      for (let n = 0; n < 4; n++) {
        await until('answers', async () => {
          const answer = await post('/readyz').catch(() => undefined);
          return answer?.status === 200 || undefined;
        });
      }
      expect(statSync(sidecar.socketPath).mode & 0o777).toBe(0o660);
    }
    expect((await accepted('after the crash')).session).toBeDefined();
  });

  it('drain together', async () => {
    const workers = children(sidecar.child.pid!);
    expect(await sidecar.stop()).toBe(0);
    for (const worker of workers) expect(() => process.kill(worker, 0)).toThrow();
    expect(() => statSync(sidecar.socketPath)).toThrow();
    expect(sidecar.err).not.toMatch(/"event":"(?:error|issuer)"/);
  });
});

describe.skipIf(!onNode)('workers of a parent with a store', () => {
  const own = temporaryFolder('workers-store');
  let workers: number[] = [];
  beforeAll(async () => {
    sidecar = await spawnSidecar(own.path, undefined, ['--workers', '2']);
    workers = children(sidecar.child.pid!);
  });
  afterAll(async () => {
    await stopped();
    own.remove();
  });

  it('hand out its tickets, know its secrets and its entities', async () => {
    const keyring = join(own.path, 'data', 'ceph.client.admin.keyring');
    const where = ['--socket', sidecar.socketPath];
    const login = ['--name', 'client.admin', '--keyring', keyring, '--service', 'osd'];
    const asked = spawnCephgate(['client', 'authorizer', ...login, ...where], { cwd: own.path });
    expect([await asked.ended, asked.err]).toEqual([0, '']);
    const authorizer = asked.out.trim();
    for (let n = 0; n < 2; n++) {
      const { body } = await post('/v1/verify', { service: 'osd', authorizer });
      expect(body.reason.code).toBe('authorizer.challenge_required');
      const op = { pool: 'p', object: 'o', write: true };
      const may = await post('/v1/check', { service: 'osd', entity: 'client.admin', op });
      expect(may.body).toMatchObject({ decision: true, entity: 'client.admin' });
      const ready = await post('/readyz?verbose');
      expect(ready.body).toMatchObject({ status: 'ready', health: [] });
    }
  });

  it('end when their parent is killed', async () => {
    await sidecar.stop('SIGKILL');
    await until('their end', () => {
      const left = workers.filter((pid) => {
        try {
          return (
            process.kill(pid, 0) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
          );
        } catch {
          return false;
        }
      });
      return left.length === 0 || undefined;
    });
  });
});
