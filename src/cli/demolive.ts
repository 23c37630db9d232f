/**
 * The live part of the demo: a sidecar on a unix socket with secrets of its own, a client made of
 * src/cephx, and between them the HTTP calls that a storage node makes.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  buildAuthorizer,
  openAuthorizeChallenge,
  openAuthorizeReply,
  randomU64,
} from '../cephx/authorizer.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { equalBytes, utimeFromNs } from '../cephx/denc.ts';
import { AUID_DEFAULT, capsBuffer, ENTITY_TYPES, parseEntityName } from '../cephx/protocol.ts';
import { sealServiceTicket } from '../cephx/ticket.ts';
import { Engine } from '../engine/engine.ts';
import { createApp } from '../http/app.ts';
import { decodeBase64, encodeBase64 } from '../http/codec.ts';
import { BODY_LIMITS } from '../http/deps.ts';
import { listen } from '../http/listen.ts';
import { StaticRing } from '../http/ring.ts';
import { State } from '../http/state.ts';
import { engineSealer } from '../sealer.ts';
import type { Step } from './demo.ts';
import { flipped, step } from './demorecorded.ts';
import { post } from './request.ts';

type Document = Readonly<Record<string, unknown>>;

/** One exchange from the first authorizer to the end of the session. */
export async function live(engine: Engine): Promise<Step[]> {
  const secret = CryptoKey.create('aes256k', utimeFromNs(clock()), random);
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-demo-'));
  const socketPath = join(folder, 'demo.sock');
  const core = await Engine.create({ preset: 'small' });
  const app = createApp({
    engine: core,
    ring: new StaticRing(
      core,
      [{ service: 'osd', secretId: 1n, key: secret, expiresNs: undefined }],
      clock(),
      false,
    ),
    state: new State({ keys: { current: random(32), previous: undefined }, random }),
    policy: {},
    clock,
    random,
    log: () => undefined,
    sign: false,
    allowUnchallengedVerdict: false,
    body: BODY_LIMITS,
  });
  const open = await listen(app.fetch.bind(app), [{ kind: 'unix', path: socketPath }], {
    allowHosts: [],
  });
  const ask = async (path: string, body: unknown): Promise<Document> => {
    const headers = { 'content-type': 'application/json' };
    const { text } = await post({ socketPath, path, headers }, JSON.stringify(body));
    return JSON.parse(text) as Document;
  };
  try {
    return await exchange(engine, secret, ask);
  } finally {
    await Promise.all(open.map((each) => each.close(1_000)));
    core.wipe();
    rmSync(folder, { recursive: true });
  }
}

async function exchange(
  engine: Engine,
  secret: CryptoKey,
  ask: (path: string, body: unknown) => Promise<Document>,
): Promise<Step[]> {
  const sealer = engineSealer(engine);
  const ticket = ticketFor(engine, secret);
  const nonce = randomU64(random);
  const authorizerFor = (challenge?: bigint): Uint8Array =>
    buildAuthorizer(sealer, ticket, nonce, random, challenge);
  const base = { service: 'osd', peer: '192.0.2.7', connection: 'demo-1', secure: true };
  const verify = (authorizer: Uint8Array, more: object = {}): Promise<Document> =>
    ask('/v1/verify', { ...base, ...more, authorizer: encodeBase64(authorizer) });

  const first = await verify(authorizerFor());
  const sealed = bytesIn(first, 'challenge');
  const answered = authorizerFor(openAuthorizeChallenge(sealer, ticket.sessionKey, sealed));
  const altered = await verify(flipped(answered, -1));
  const state = { challenge_state: first.challenge_state };
  const final = await verify(answered, state);
  const given = openAuthorizeReply(sealer, ticket.sessionKey, nonce, bytesIn(final, 'reply'));
  const replayed = await verify(answered, state);
  const { session } = final;
  const write = (pool: string): Promise<Document> =>
    ask('/v1/check', { service: 'osd', session, op: { pool, object: 'o1', write: true } });
  const secretsAgree = equalBytes(given, bytesIn(final, 'connection_secret'));
  return [
    step('the first authorizer gets', codeIn(first), 'authorizer.challenge_required'),
    step('an answer with one bit flipped', codeIn(altered), 'authorizer.invalid'),
    step('the answer', `${codeIn(final)} ${final.entity}`, 'ok client.demo'),
    step('the client opens the reply: both sides hold', agree(secretsAgree), 'one secret'),
    step('the answer once more', codeIn(replayed), 'authorizer.challenge_expired'),
    step('a write to pool liverpool', codeIn(await write('liverpool')), 'ok'),
    step('a write to pool everton', codeIn(await write('everton')), 'caps.no_matching_grant'),
    step(
      'the session, released',
      `${(await ask(`/v1/sessions/${session}/release`, undefined)).released}`,
      'true',
    ),
    step('a write after that', codeIn(await write('liverpool')), 'session.unknown'),
  ];
}

/** A service ticket as a monitor would make it, in the hands of its owner. */
function ticketFor(engine: Engine, secret: CryptoKey) {
  const created = utimeFromNs(clock());
  const globalId = 4153n;
  const sessionKey = CryptoKey.create('aes256k', created, random);
  const ticket = {
    name: parseEntityName('client.demo')!,
    globalId,
    auid: AUID_DEFAULT,
    created,
    expires: utimeFromNs(clock() + 3_600_000_000_000n),
    caps: { allowAll: false, caps: capsBuffer('allow rw pool=liverpool') },
    flags: 0,
  };
  const info = { ticket, sessionKey };
  const blob = sealServiceTicket(engineSealer(engine), secret, 1n, info, random);
  return { globalId, serviceId: ENTITY_TYPES.osd!, sessionKey, blob };
}

function codeIn(document: Document): string {
  const { code } = (document.reason ?? document) as { code?: unknown };
  return String(code);
}

/** Bytes of a field; none if it is missing, so that the step that needs them fails. */
function bytesIn(document: Document, name: string): Uint8Array {
  return decodeBase64(String(document[name] ?? '')) ?? new Uint8Array(0);
}

function agree(same: boolean): string {
  return same ? 'one secret' : 'two secrets';
}

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function random(n: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(n));
}
