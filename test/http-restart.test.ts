/**
 * A sidecar that is killed: a thousand connections go on by receipt, none is challenged again, and
 * what was recorded on the way is of no use anywhere else.
 */

import { writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { makeTicket, type TestTicket } from './authorizers.ts';
import {
  AES256K_ID,
  type Answer,
  aes256kSecret,
  b64,
  challengeIn,
  newConnection,
  random,
  SECRETS,
} from './http-kit.ts';
import {
  type HttpAnswer,
  type SpawnedSidecar,
  send,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';

const SESSIONS = 1_000;
const SOCKETS = 16;
const TOKEN_FILE = `accept ${'a'.repeat(32)}\naccept ${'b'.repeat(32)}\n`;

/** One connection of a client to a node, as the node remembers it. */
interface Connection {
  readonly request: Readonly<Record<string, unknown>>;
  readonly state: string;
  readonly receipt: string;
  readonly session: string;
}

const folder = temporaryFolder('restart');
const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS });
let sidecar: SpawnedSidecar;
let connections: Connection[];

beforeAll(async () => {
  const owner = { mode: 0o600 };
  writeFileSync(join(folder.path, 'secrets.json'), formatSecrets(SECRETS), owner);
  writeFileSync(join(folder.path, 'tokens'), TOKEN_FILE, owner);
  sidecar = await start();
  connections = [];
  // A few at a time: between challenge and answer there are 10 s, for each of them.
  const some = async (from: number): Promise<void> => {
    for (let i = from; i < SESSIONS; i += SOCKETS) connections[i] = await connect(i);
  };
  await Promise.all(Array.from({ length: SOCKETS }, (_, from) => some(from)));
  expect(await sidecar.stop('SIGKILL')).toBe('SIGKILL');
  sidecar = await start();
});
afterAll(async () => {
  agent.destroy();
  await sidecar?.stop();
  folder.remove();
});

function start(): Promise<SpawnedSidecar> {
  return spawnSidecar(folder.path, undefined, [
    '--secrets',
    'secrets.json',
    '--token-file',
    'tokens',
  ]);
}

function ticketOf(id: number): TestTicket {
  const entity = `client.c${id}`;
  const createdNs = BigInt(Date.now()) * 1_000_000n;
  const globalId = BigInt(5_000 + id);
  return makeTicket(aes256kSecret, random, { entity, globalId, createdNs, secretId: AES256K_ID });
}

function post(path: string, body: unknown, token?: string): Promise<HttpAnswer> {
  if (token === undefined) return send({ socketPath: sidecar.socketPath, agent }, path, body);
  const { host, port } = sidecar;
  return send({ host, port, agent }, path, body, { authorization: `Bearer ${token}` });
}

/** Both steps of a client that connects. */
async function connect(id: number, token?: string): Promise<Connection> {
  const ticket = ticketOf(id);
  const base = { service: 'osd', peer: `192.0.2.${id % 250}`, connection: newConnection() };
  const first = await post('/v1/verify', { ...base, authorizer: b64(ticket.authorizer()) }, token);
  const challenge = challengeIn(ticket, first as unknown as Answer);
  const request = { ...base, authorizer: b64(ticket.authorizer(challenge)) };
  const state = first.body.challenge_state;
  const final = await post('/v1/verify', { ...request, challenge_state: state }, token);
  expect(final.body).toMatchObject({ decision: true, entity: `client.c${id}` });
  return { request, state, receipt: final.body.receipt, session: final.body.session };
}

function expectRefused(answer: HttpAnswer, code: string): void {
  expect([answer.status, answer.body.decision, answer.body.reason.code]).toEqual([
    200,
    false,
    code,
  ]);
  for (const name of ['reply', 'session', 'receipt', 'connection_secret', 'entity']) {
    expect(answer.body).not.toHaveProperty(name);
  }
}

const EXPIRED = 'authorizer.challenge_expired';
const op = { pool: 'liverpool', object: 'o', read: true };

it(`brings ${SESSIONS} sessions back after kill -9, and challenges nobody`, async () => {
  const back = await Promise.all(
    connections.map(async ({ request, receipt, session }, id) => {
      const lost = await post('/v1/check', { service: 'osd', session, op });
      expect(lost.body.reason.code).toBe('session.unknown');
      const { body } = await post('/v1/verify', { ...request, receipt });
      expect(body).toMatchObject({ decision: true, freshness: 'receipt', entity: `client.c${id}` });
      for (const name of ['challenge', 'challenge_state', 'reply', 'connection_secret']) {
        expect(body).not.toHaveProperty(name);
      }
      return body.session as string;
    }),
  );
  expect(new Set([...back, ...connections.map(({ session }) => session)]).size).toBe(2 * SESSIONS);
  const checks = await Promise.all(
    back.map((session) => post('/v1/check', { service: 'osd', session, op })),
  );
  const entities = checks.map(({ body }) => body.entity);
  expect(entities).toEqual(connections.map((_, id) => `client.c${id}`));
  expect(checks.filter(({ body }) => body.decision === true)).toHaveLength(SESSIONS);
});

describe('what was sent before the restart', () => {
  it('only gets a new challenge without state or receipt', async () => {
    const { request } = connections[0]!;
    expectRefused(await post('/v1/verify', request), 'authorizer.challenge_required');
  });

  it.each([
    ['connection', { connection: 'another' }, EXPIRED],
    ['no connection', { connection: undefined }, EXPIRED],
    ['peer', { peer: '198.51.100.1' }, EXPIRED],
    ['no peer', { peer: undefined }, EXPIRED],
    ['service', { service: 'mds' }, 'authorizer.service'],
  ])('is refused with another %s', async (_, fields, code) => {
    const { request, receipt, state } = connections[1]!;
    expectRefused(await post('/v1/verify', { ...request, ...fields, receipt }), code);
    const again = { ...request, ...fields, challenge_state: state };
    expectRefused(await post('/v1/verify', again), code);
  });

  it('is refused with the authorizer, the state or the receipt of another connection', async () => {
    const [one, other] = [connections[2]!, connections[3]!];
    const { authorizer } = other.request;
    const { receipt, state } = one;
    expectRefused(await post('/v1/verify', { ...one.request, authorizer, receipt }), EXPIRED);
    const stolen = { ...one.request, authorizer, challenge_state: state };
    expectRefused(await post('/v1/verify', stolen), EXPIRED);
    expectRefused(await post('/v1/verify', { ...other.request, receipt }), EXPIRED);
  });

  it('is refused from another caller', async () => {
    const [mine, theirs] = ['a'.repeat(32), 'b'.repeat(32)];
    const { request, receipt, state } = await connect(SESSIONS, mine);
    expectRefused(await post('/v1/verify', { ...request, receipt }, theirs), EXPIRED);
    expectRefused(await post('/v1/verify', { ...request, receipt }), EXPIRED);
    const again = { ...request, challenge_state: state };
    expectRefused(await post('/v1/verify', again, theirs), EXPIRED);
    expect((await post('/v1/verify', { ...request, receipt }, mine)).body.decision).toBe(true);
  });

  it('leaves a session that no other caller can use or end', async () => {
    const [mine, theirs] = ['a'.repeat(32), 'b'.repeat(32)];
    const { session } = await connect(SESSIONS + 1, mine);
    const ask = { service: 'osd', session, op };
    for (const token of [theirs, undefined]) {
      expect((await post('/v1/check', ask, token)).body.reason.code).toBe('session.unknown');
      const path = `/v1/sessions/${session}/release`;
      expect((await post(path, '', token)).body).toEqual({ released: false });
    }
    expect((await post('/v1/check', ask, mine)).body.decision).toBe(true);
  });
});

it('accepts a state of the killed process once, on its connection, and only for 10 s', async () => {
  const ticket = ticketOf(SESSIONS + 2);
  const begin = async (): Promise<Readonly<Record<string, unknown>>> => {
    const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection() };
    const first = await post('/v1/verify', { ...base, authorizer: b64(ticket.authorizer()) });
    const challenge = challengeIn(ticket, first as unknown as Answer);
    const { challenge_state } = first.body;
    return { ...base, authorizer: b64(ticket.authorizer(challenge)), challenge_state };
  };
  // A state is good for 10 s: where a start takes longer than that, it is tried once more.
  let [good, nameless, late] = [{}, {}, {}];
  let accepted: HttpAnswer | undefined;
  for (let tries = 0; tries < 5 && accepted?.body.decision !== true; tries++) {
    const begun = Date.now();
    [good, nameless, late] = [await begin(), await begin(), await begin()];
    await sidecar.stop('SIGKILL');
    sidecar = await start();
    accepted = await post('/v1/verify', good);
    if (Date.now() - begun < 9_000) expect(accepted.body.decision).toBe(true);
  }
  expect(accepted?.body.decision).toBe(true);
  const waited = new Promise((resolve) => setTimeout(resolve, 11_000));
  expectRefused(await post('/v1/verify', good), EXPIRED);
  expectRefused(await post('/v1/verify', { ...nameless, connection: undefined }), EXPIRED);
  await waited;
  expectRefused(await post('/v1/verify', late), EXPIRED);
});
