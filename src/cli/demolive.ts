/**
 * The live part of the demo, the whole story of a user: made, logged in, verified by a node,
 * allowed and denied, given other caps, and revoked.
 */

import { ENTITY_TYPE_OSD } from '../../assembly/abi.ts';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { equalBytes } from '../cephx/denc.ts';
import type { CephxHttpClient } from '../cephx/httpclient.ts';
import { parseEntityName } from '../cephx/protocol.ts';
import type { ServiceAuthorizer } from '../cephx/ticketmanager.ts';
import type { Engine } from '../engine/engine.ts';
import { decodeBase64, encodeBase64 } from '../http/codec.ts';
import { KeyRing } from '../keyring/keyring.ts';
import type { Step } from './demo.ts';
import { type DemoPlace, type Document, openDemoPlace } from './demoplace.ts';
import { flipped, step } from './demorecorded.ts';

export async function live(engine: Engine): Promise<Step[]> {
  const place = await openDemoPlace(engine);
  try {
    const { steps, key } = await makeJohn(place);
    if (key === undefined) return steps;
    const john = place.client(JOHN, key);
    const visit = await connect(place, john, 'demo-1');
    const { session } = visit;
    const later = [
      () => operations(place, session),
      () => changeCaps(place, key, session),
      () => revoke(place, john, key, session),
    ];
    steps.push(...visit.steps);
    for (const part of later) steps.push(...(await part()));
    return steps;
  } finally {
    await place.close();
  }
}

/** Bootstrap, and a user of one pool. */
async function makeJohn(place: DemoPlace): Promise<{ steps: Step[]; key?: CryptoKey }> {
  const caps = ['mon', 'allow r', 'osd', 'allow rw pool=liverpool'];
  const made = await place.admin('auth get-or-create', { entity: JOHN, caps });
  const keyring = KeyRing.parse(new TextEncoder().encode(made.output));
  const key = keyring.get(parseEntityName(JOHN)!)?.key;
  const keyrings = place.made.join(' and ');
  const steps = [
    step('the first start makes', keyrings, 'mon.keyring and ceph.client.admin.keyring'),
    step(`client.admin makes ${JOHN}, with a key of type`, key?.typeName ?? 'none', 'aes256k'),
  ];
  return key === undefined ? { steps } : { steps, key };
}

interface Visit {
  readonly steps: Step[];
  /** Handle of the session; empty if there is none. */
  readonly session: string;
}

/** Login, authorizer, challenge, answer, reply: both sides prove themselves. */
async function connect(
  place: DemoPlace,
  client: CephxHttpClient,
  connection: string,
): Promise<Visit> {
  const login = await client.login(ENTITY_TYPE_OSD);
  const loggedIn = step(`${JOHN} logs in and gets tickets`, outcome(login), 'ok');
  const held = await client.authorizer(ENTITY_TYPE_OSD);
  if (!held.ok) return { steps: [loggedIn], session: '' };
  const verify = verifier(place, connection);
  const { authorizer, first, challenge } = await challenged(held.value, verify);
  const steps = [loggedIn, step('its authorizer gets', first, 'authorizer.challenge_required')];
  if (authorizer === undefined) return { steps, session: '' };
  const altered = await verify(flipped(authorizer, -1));
  const final = await verify(authorizer, challenge);
  const reply = held.value.verifyReply(bytesIn(final, 'reply'), { secure: true });
  const secret = bytesIn(final, 'connection_secret');
  const agree = reply.ok && equalBytes(reply.value, secret) ? 'one secret' : 'two secrets';
  const replayed = await verify(authorizer, challenge);
  steps.push(
    step('the answer with one bit flipped', codeIn(altered), 'authorizer.invalid'),
    step('the answer', `${codeIn(final)} ${final.entity}`, `ok ${JOHN}`),
    step('the client opens the reply: both sides hold', agree, 'one secret'),
    step('the answer once more', codeIn(replayed), 'authorizer.challenge_expired'),
  );
  return { steps, session: String(final.session ?? '') };
}

type Verify = (authorizer: Uint8Array, more?: object) => Promise<Document>;

function verifier(place: DemoPlace, connection: string): Verify {
  const base = { service: 'osd', peer: '192.0.2.7', connection, secure: true };
  return (authorizer, more = {}) =>
    place.ask('/v1/verify', { ...base, ...more, authorizer: encodeBase64(authorizer) });
}

/** The client's answer to the challenge of its first authorizer. */
async function challenged(
  held: ServiceAuthorizer,
  verify: Verify,
): Promise<{ first: string; authorizer: Uint8Array | undefined; challenge: object }> {
  const first = await verify(held.first());
  const answered = held.answer(bytesIn(first, 'challenge'));
  const challenge = { challenge_state: first.challenge_state };
  return { first: codeIn(first), authorizer: answered.ok ? answered.value : undefined, challenge };
}

async function operations(place: DemoPlace, session: string): Promise<Step[]> {
  const may = await write(place, session, 'liverpool');
  const mayNot = await write(place, session, 'everton');
  const [grant] = (mayNot.grants ?? []) as { text: string; failed: string }[];
  return [
    step('a write to pool liverpool', codeIn(may), 'ok'),
    step('a write to pool everton', codeIn(mayNot), 'caps.no_matching_grant'),
    step(
      'because of the grant, and what does not fit',
      `${grant?.text}: ${grant?.failed}`,
      'allow rw pool=liverpool: pool',
    ),
  ];
}

/** New caps come with a new ticket; a session has those of its own. */
async function changeCaps(place: DemoPlace, key: CryptoKey, session: string): Promise<Step[]> {
  const caps = ['mon', 'allow r', 'osd', 'allow rw pool=liverpool, allow rw pool=everton'];
  const changed = await place.admin('auth caps', { entity: JOHN, caps });
  const before = await write(place, session, 'everton');
  const visit = await connect(place, place.client(JOHN, key), 'demo-2');
  const after = await write(place, visit.session, 'everton');
  return [
    step('client.admin gives it pool everton too: retcode', changed.retcode, 0),
    step('a write there in the old session', codeIn(before), 'caps.no_matching_grant'),
    step('a write there after a new login', codeIn(after), 'ok'),
  ];
}

async function revoke(
  place: DemoPlace,
  john: CephxHttpClient,
  key: CryptoKey,
  session: string,
): Promise<Step[]> {
  const held = await john.authorizer(ENTITY_TYPE_OSD);
  await place.deny(JOHN);
  const inSession = await write(place, session, 'liverpool');
  let ticket = 'none';
  if (held.ok) {
    const verify = verifier(place, 'demo-3');
    const { authorizer, challenge } = await challenged(held.value, verify);
    if (authorizer !== undefined) ticket = codeIn(await verify(authorizer, challenge));
  }
  const named = { service: 'osd', entity: JOHN, op: { pool: 'liverpool', object: 'o1' } };
  const byName = await place.ask('/v1/check', named);
  const login = await place.client(JOHN, key).login(ENTITY_TYPE_OSD);
  return [
    step(`${JOHN} is revoked: a write in its session`, codeIn(inSession), 'ticket.revoked'),
    step('its ticket, which is good for an hour', ticket, 'ticket.revoked'),
    step('its caps, asked for by name', codeIn(byName), 'ticket.revoked'),
    step('a new login', outcome(login), 'request.refused'),
  ];
}

function write(place: DemoPlace, session: string, pool: string): Promise<Document> {
  const op = { pool, object: 'o1', write: true };
  return place.ask('/v1/check?explain=true', { service: 'osd', session, op });
}

function outcome(result: { readonly ok: boolean; readonly reason?: string }): string {
  return result.ok ? 'ok' : (result.reason ?? 'refused');
}

function codeIn(document: Document): string {
  const { code } = (document.reason ?? document) as { code?: unknown };
  return String(code);
}

/** Bytes of a field; none if it is missing, so that the step that needs them fails. */
function bytesIn(document: Document, name: string): Uint8Array {
  return decodeBase64(String(document[name] ?? '')) ?? new Uint8Array(0);
}

const JOHN = 'client.john';
