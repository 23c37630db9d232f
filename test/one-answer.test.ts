/** The same questions, good and bad, by all four ways: JSON, a list of JSON, frames, the socket. */

import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { FramesClient } from '../src/client/index.ts';
import type { OsdOp } from '../src/engine/index.ts';
import { openFramesSocket } from '../src/http/framesocket.ts';
import type { OpenListener } from '../src/http/listen.ts';
import { HOUR_NS, type TestTicket } from './authorizers.ts';
import { accept, ask, challengeOf, frames, OSD, PEER } from './frames-kit.ts';
import { b64, Kit, newConnection, osdTicket } from './http-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const seed = seedOf(43);
const rng = new Rng(seed);
const folder = temporaryFolder('one-answer');
const path = join(folder.path, 'frames.sock');
let kit: Kit;
let socket: OpenListener;
let client: FramesClient;
beforeAll(async () => {
  kit = await Kit.create();
  socket = await openFramesSocket(kit.deps, path);
  client = await FramesClient.connect(path);
});
afterAll(async () => {
  client?.close();
  await socket?.close(1_000);
  folder.remove();
});

/** Handles of one ticket's session: of JSON, of frames over HTTP, of the connection. */
interface Sessions {
  readonly json: string;
  readonly http: bigint;
  readonly socket: bigint;
}

async function opened(ticket: TestTicket): Promise<Sessions> {
  const json = await kit.accept(ticket);
  const http = await accept(kit, ticket);
  const base = { service: OSD, peer: PEER, connection: newConnection(), reply: true };
  const first = await client.verify({ ...base, authorizer: ticket.authorizer() });
  const authorizer = ticket.authorizer(challengeOf(first.reply!, ticket));
  const state = { authorizer, challengeState: first.token!, session: true };
  const final = await client.verify({ ...base, ...state });
  const reasons = [json.final.body.reason.code, http.final.reason, final.reason];
  expect(reasons).toEqual(['ok', 'ok', 'ok']);
  return { json: json.final.body.session, http: http.final.handle, socket: final.handle };
}

/** Also what no session has, and ops that are none. */
function anyOp(): OsdOp {
  return {
    pool: rng.pick(['liverpool', 'everton', '', 'p'.repeat(300)]),
    namespace: rng.pick(['', 'n', 'n'.repeat(256)]),
    object: rng.pick(['', 'o1', '\u00e9', 'o'.repeat(5_000)]),
    read: rng.chance(0.6),
    write: rng.chance(0.4),
  };
}

const NONE: Sessions = { json: '0'.repeat(32), http: 5n, socket: 0x7000_0000_0001n };

it(`has one answer for a question of what is allowed (seed ${seed})`, async () => {
  const seen = new Set<string>();
  for (let run = 0; run < 40; run++) {
    const caps = rng.pick(['allow rw pool=liverpool', 'allow *', '', 'nonsense', 'allow r']);
    const sessions = rng.chance(0.15)
      ? NONE
      : await opened(osdTicket({ caps, aes: rng.chance(0.5) }));
    const ops = Array.from({ length: 8 }, anyOp);
    const peer = '192.0.2.7';
    const items = ops.map((op) => ({ op }));
    const defaults = { session: sessions.json, peer };
    const batch = await kit.post('/v1/checks', { service: 'osd', defaults, items });
    const records = frames((writer) => {
      for (const [tag, op] of ops.entries()) {
        writer.check({ service: OSD, session: sessions.http, op, peer: PEER }, tag);
      }
    });
    const framed = await ask(kit, records);
    const piped = await Promise.all(
      ops.map((op) => client.check({ service: OSD, session: sessions.socket, op, peer: PEER })),
    );
    for (const [index, op] of ops.entries()) {
      const question = { service: 'osd', session: sessions.json, peer, op };
      const { body } = await kit.post('/v1/check', question);
      const listed = batch.body.answers[index];
      const all = [
        [body.decision, body.reason.code],
        [listed.decision, listed.reason.code],
        [framed[index]!.decision, framed[index]!.reason],
        [piped[index]!.decision, piped[index]!.reason],
      ];
      expect(new Set(all.map(String)), `${all}`).toHaveProperty('size', 1);
      seen.add(body.reason.code);
    }
  }
  expect([...seen]).toEqual(
    expect.arrayContaining([
      ...['caps.no_matching_grant', 'caps.unparsable', 'limit.exceeded', 'ok', 'session.unknown'],
    ]),
  );
}, 60_000);

it(`has one answer for a question of who it is (seed ${seed})`, async () => {
  const seen = new Set<string>();
  for (let run = 0; run < 120; run++) {
    const ticket = osdTicket({
      aes: rng.chance(0.5),
      createdNs: kit.nowNs + rng.pick([0n, 0n, -9n * HOUR_NS, 9n * HOUR_NS]),
      ...(rng.chance(0.1) && { secretId: 99n }),
      ...(rng.chance(0.1) && { service: abi.ENTITY_TYPE_MDS }),
    });
    const authorizer = ticket.authorizer();
    if (rng.chance(0.4)) authorizer[rng.int(authorizer.length)]! ^= 1 + rng.int(255);
    const cut = rng.chance(0.1) ? authorizer.subarray(0, rng.int(authorizer.length)) : authorizer;
    const connection = newConnection();
    const question = { service: OSD, authorizer: cut, peer: PEER, connection, reply: true };
    const { body } = await kit.verify({
      ...{ service: 'osd', authorizer: b64(cut), peer: '192.0.2.7', connection },
    });
    const [framed] = await ask(
      kit,
      frames((writer) => writer.verify(question, 1)),
    );
    const piped = await client.verify(question);
    const { code } = body.reason;
    expect([framed!.reason, piped.reason]).toEqual([code, code]);
    expect([body.decision, framed!.decision, piped.decision]).toEqual([false, false, false]);
    seen.add(code);
  }
  expect([...seen]).toEqual(
    expect.arrayContaining([
      ...['authorizer.challenge_required', 'authorizer.invalid', 'authorizer.malformed'],
      ...['authorizer.secret_unknown', 'authorizer.service'],
    ]),
  );
}, 60_000);
