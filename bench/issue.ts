/**
 * The issuing side: logins and service tickets, with sealing and judging in the core, and with both
 * by hand on node:crypto. Everything around them is the same code on the same kind of store, and
 * randomness and clock are the same, so both give the same bytes.
 */

import { Buffer } from 'node:buffer';
import { createHmac } from 'node:crypto';
import { ENTITY_TYPE_AUTH, KEY_TYPE_AES, USAGE_AUTHORIZE } from '../assembly/abi.ts';
import type { Exchange } from '../src/auth/exchange.ts';
import type { Issuer } from '../src/auth/issuer.ts';
import type { CephxServiceHandler, RequestAnswer } from '../src/auth/servicehandler.ts';
import { CryptoKey, openObject, type Sealer } from '../src/cephx/cryptokey.ts';
import { decode, equalBytes, Reader, utimeFromNs, utimeNs } from '../src/cephx/denc.ts';
import { decodeAuthorize, decodeAuthorizer, ENTITY_TYPES } from '../src/cephx/protocol.ts';
import { openServiceTicket } from '../src/cephx/ticket.ts';
import { Engine, type Verdict } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import {
  authenticateBytes,
  authorizerOf,
  CONTEXT,
  readLogin,
  requestBytes,
  SERVICE_MASK,
} from '../test/auth-issue-client.ts';
import { entity, freshKey, Rig } from '../test/auth-issue-kit.ts';
import { Rng } from '../test/rng.ts';
import { pairRatios } from './goals.ts';
import { seal } from './handshake.ts';
import { CAPS, type KeyTypeOfBench, NOW_NS, type Secret } from './items.ts';
import { awaited } from './measure.ts';
import type { Result } from './report.ts';
import { nodeTuned } from './rival-node.ts';
import type { Bench, Section } from './section.ts';

export const issueSection: Section = {
  name: 'issue',
  about: 'logins and service tickets as a monitor makes them',
  everywhere: false,
  async run(bench) {
    const results: Result[] = [];
    for (const type of ['aes', 'aes256k'] as const) results.push(await issueTable(bench, type));
    return results;
  },
};

/** What a client sends: a login with all service tickets, and 0x0200 for one. */
export interface Requests {
  readonly logins: readonly { readonly exchange: Exchange; readonly bytes: Uint8Array }[];
  readonly tickets: readonly Uint8Array[];
}

async function issueTable(bench: Bench, type: KeyTypeOfBench): Promise<Result> {
  const title = `login and tickets, ${type}`;
  const core = await openIssuer(type, 'core');
  const node = await openIssuer(type, 'node:crypto');
  const requests = await makeRequests(core, type, bench.smoke ? 8 : 64);
  // The answer to the login that the requests began with: both have made as many tickets then.
  await makeRequests(node, type, 0);
  const { answers, refused, differences } = await compare(core, node, requests);
  bench.say(`${title}: ${answers} answers compared, ${refused} refuse, ${differences} differ`);
  if (differences > 0) bench.differs(`${title}: ${differences} answers of node:crypto differ`);
  if (refused * 2 !== answers) bench.differs(`${title}: ${refused} of ${answers} refuse, not half`);
  const { logins, tickets } = requests;
  const login = (handler: CephxServiceHandler) => (i: number) => {
    const { bytes, exchange } = logins[i % logins.length]!;
    return good(handler.request(bytes, exchange, CONTEXT));
  };
  const ticket = (handler: CephxServiceHandler) => (i: number) =>
    good(handler.request(tickets[i % tickets.length]!, undefined, CONTEXT));
  const cases = [
    awaited('cephgate, login with 4 tickets', login(core)),
    awaited('node:crypto, login with 4 tickets', login(node)),
    awaited('cephgate, one ticket', ticket(core)),
    awaited('node:crypto, one ticket', ticket(node)),
  ];
  return await bench.table({ title, cases }, (rows) => pairRatios(title, rows));
}

/** An issuing side with one user; the same seed and so the same keys whatever its ciphers are. */
export async function openIssuer(
  type: KeyTypeOfBench,
  ciphers: 'core' | 'node:crypto',
): Promise<CephxServiceHandler> {
  const allowed = ['aes', 'aes256k'];
  const entities = { [NAME]: entity(userKey(type), { mon: 'allow r', osd: CAPS }) };
  let rig: Rig | undefined;
  const engine = await Engine.create();
  const byHand: Partial<Issuer> = {
    sealer: nodeSealer,
    engine: { verify: nodeVerify(() => rig!.keyServer.held('auth')) },
  };
  const how = ciphers === 'core' ? { sealer: engineSealer(engine) } : byHand;
  rig = await Rig.create({
    ...{ entities, seed: SEED, engine, ciphers: { allowed, preferred: type, service: type } },
    issuer: { random: pool(), clock: () => NOW_NS, ...how },
  });
  return rig.handler;
}

/** Requests of the user; makes one login. */
export async function makeRequests(
  handler: CephxServiceHandler,
  type: KeyTypeOfBench,
  count: number,
): Promise<Requests> {
  const rng = new Rng(SEED);
  const key = userKey(type);
  const makeLogin = () => {
    const serverChallenge = rng.u64();
    const name = { type: ENTITY_TYPES.client!, id: NAME.slice('client.'.length) };
    const options = { otherKeys: SERVICE_MASK };
    const bytes = authenticateBytes(key, serverChallenge, rng, options);
    return { exchange: { name, globalId: 0n, serverChallenge }, bytes };
  };
  const { exchange, bytes } = makeLogin();
  const { auth, globalId } = readLogin(await handler.request(bytes, exchange, CONTEXT), key);
  return {
    logins: Array.from({ length: count }, makeLogin),
    tickets: Array.from({ length: count }, () => {
      const authorizer = authorizerOf(auth, globalId, rng);
      return requestBytes(0x0200, authorizer, ENTITY_TYPES.osd!);
    }),
  };
}

/** Gives every request, and each one altered, to both; how many answers differ. */
export async function compare(
  core: CephxServiceHandler,
  node: CephxServiceHandler,
  { logins, tickets }: Requests,
): Promise<{ answers: number; refused: number; differences: number }> {
  const seen = { answers: 0, refused: 0, differences: 0 };
  const both = async (bytes: Uint8Array, exchange?: Exchange): Promise<void> => {
    const one = await core.request(bytes, exchange, CONTEXT);
    const other = await node.request(bytes, exchange, CONTEXT);
    seen.answers += 1;
    if (one.status !== 0) seen.refused += 1;
    if (!equalBytes(one.payload, other.payload)) seen.differences += 1;
  };
  for (const { bytes, exchange } of logins) {
    await both(bytes, exchange);
    await both(bytes, { ...exchange, serverChallenge: exchange.serverChallenge ^ 1n });
  }
  for (const bytes of tickets) {
    await both(bytes);
    // In the sealed part of the authorizer, which the mask of the tickets follows.
    await both(bytes.with(bytes.length - 20, bytes.at(-20)! ^ 1));
  }
  return seen;
}

async function good(answer: Promise<RequestAnswer>): Promise<RequestAnswer> {
  const given = await answer;
  if (given.status !== 0) throw new Error(`The issuing side gave status ${given.status}`);
  return given;
}

/** Sealing as tuned as it is in the handshake; the core derives keys for each sealing too. */
const nodeSealer: Sealer = {
  seal: (key, usage, plain, confounder) => seal(key, usage, Buffer.from(plain), confounder),
  open(key, usage, sealed) {
    const { type, secret } = key;
    if (usage === USAGE_AUTHORIZE) {
      return unpadded(type, nodeTuned.openAuthorize(type, secret, sealed));
    }
    return unpadded(type, nodeTuned.openTicket(prepared(key), sealed));
  },
  hmacSha256: (key, data) => createHmac('sha256', key.secret).update(data).digest(),
};

/** Derived keys of AUTH secrets are kept, as the core keeps them. */
function prepared(key: CryptoKey): ReturnType<typeof nodeTuned.prepare> {
  const kept = KEPT.get(key) ?? nodeTuned.prepare({ key } as Secret);
  KEPT.set(key, kept);
  return kept;
}

/** Ceph strips as many bytes as the last one says, 16 at most. */
function unpadded(type: number, plain: Uint8Array | undefined): Uint8Array | undefined {
  if (plain === undefined || type !== KEY_TYPE_AES) return plain;
  return plain.subarray(0, plain.length - Math.min(plain.at(-1) ?? 0, 16));
}

type Held = () => readonly { readonly secretId: bigint; readonly key: CryptoKey }[];

/** An authorizer for AUTH by hand, without a challenge: what the issuer reads of a verdict. */
function nodeVerify(held: Held): Engine['verify'] {
  return ({ authorizer }, { nowNs }) => {
    const refused = { decision: false, check: 'by hand' } as unknown as Verdict;
    try {
      const frame = decode(decodeAuthorizer, authorizer, 'reject');
      const secret = held().find(({ secretId }) => secretId === frame.ticket.secretId);
      if (frame.serviceId !== ENTITY_TYPE_AUTH || secret === undefined) return refused;
      const info = openServiceTicket(nodeSealer, secret.key, frame.ticket.blob);
      const { ticket, sessionKey } = info;
      const how = { prefixed: false };
      const object = openObject(nodeSealer, sessionKey, USAGE_AUTHORIZE, frame.sealed, how);
      const { nonce } = decodeAuthorize(new Reader(object));
      const encoded = sessionKey.encode();
      sessionKey.wipe();
      object.fill(0);
      const isNow = utimeNs(ticket.created) <= nowNs && nowNs < utimeNs(ticket.expires);
      if (!isNow || ticket.globalId !== frame.globalId) return refused;
      return {
        decision: true,
        entityType: ticket.name.type,
        entityIdBytes: Buffer.from(ticket.name.id),
        ...{ globalId: ticket.globalId, expires: ticket.expires },
        secrets: { sessionKey: encoded, nonce },
      } as unknown as Verdict;
    } catch {
      return refused;
    }
  };
}

function userKey(type: KeyTypeOfBench): CryptoKey {
  const { type: number, secret } = freshKey(type, new Rng(SEED));
  return new CryptoKey(number, utimeFromNs(NOW_NS), secret);
}

/** Random bytes that were made before: they shall cost nothing on either side. */
function pool(): (n: number) => Uint8Array {
  const bytes = new Rng(SEED).bytes(POOL_LEN);
  let at = 0;
  return (n) => {
    if (at + n > bytes.length) at = 0;
    at += n;
    return bytes.slice(at - n, at);
  };
}

const NAME = 'client.john';
const SEED = 23;
const POOL_LEN = 65_536;
const KEPT = new WeakMap<CryptoKey, ReturnType<typeof nodeTuned.prepare>>();
