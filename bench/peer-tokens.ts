/**
 * Tokens of others with what our tickets say: JSON Web Tokens (HS256) that carry the caps text, and
 * macaroons whose five caveats are one grant. They hide nothing and carry no session key, so they
 * do less than a ticket does.
 */

import { Buffer } from 'node:buffer';
import { CAPS, type Corpus, type Item, MATCH_OP, NOW_NS } from './items.ts';
import { load } from './peer-load.ts';
import { type CapsSource, cachedCaps, decide, parseCaps } from './rival-caps.ts';

/** One token for an item, made before the clock runs, and what it takes to judge it. */
export interface TokenPeer {
  /** Whether token `i` is good and allows the operation of item `i`. */
  readonly judge: (i: number) => boolean | Promise<boolean>;
  /** The same of a token that was altered. */
  readonly altered: () => boolean | Promise<boolean>;
  readonly expected: (item: Item) => boolean;
  readonly waits: boolean;
}

interface Payload {
  readonly caps: string;
}

/** What is used of the package. */
interface FastJwt {
  createSigner(options: object): (payload: object) => string;
  createVerifier(options: object): (token: string) => Payload;
}

interface Jose {
  jwtVerify(token: string, key: unknown, options: object): Promise<{ payload: Payload }>;
}

/** JWTs: all by fast-jwt, its cache off and on, and by jose. */
export async function jwtPeers(corpus: Corpus): Promise<Record<string, TokenPeer>> {
  const { createSigner, createVerifier } = load<FastJwt>('fast-jwt');
  const { jwtVerify } = load<Jose>('jose');
  const key = Buffer.alloc(32, 7);
  const sign = createSigner({ key, algorithm: 'HS256', clockTimestamp: NOW_MS });
  const tokens = corpus.items.map((_, i) =>
    sign({ sub: 'client.john', gid: 4000 + i, caps: CAPS, iat: NOW_MS / 1000, exp: EXPIRES }),
  );
  const options = { key, algorithms: ['HS256'], clockTimestamp: NOW_MS };
  const off = createVerifier({ ...options, cache: false });
  const on = createVerifier({ ...options, cache: 2 * tokens.length });
  const usages = ['sign', 'verify'] as const;
  const hmac = { name: 'HMAC', hash: 'SHA-256' };
  const joseKey = await crypto.subtle.importKey('raw', key, hmac, false, usages);
  const joseOptions = { algorithms: ['HS256'], currentDate: new Date(NOW_MS) };
  const wait = async (token: string): Promise<Payload> =>
    (await jwtVerify(token, joseKey, joseOptions)).payload;
  const judged = (verify: (token: string) => Payload, caps: CapsSource): TokenPeer => ({
    judge: (i) => allows(caps, verify(tokens[i] as string), corpus.items[i] as Item),
    altered: () => accepted(() => verify(alter(tokens[0] as string))),
    ...{ expected: EXPECTED, waits: false },
  });
  return {
    'fast-jwt, cache off, caps parsed each time': judged(off, parseCaps),
    'fast-jwt, cache off': judged(off, cachedCaps()),
    'fast-jwt, cache on, caps parsed each time': judged(on, parseCaps),
    'fast-jwt, cache on': judged(on, cachedCaps()),
    'jose, caps parsed each time': {
      judge: async (i) =>
        allows(parseCaps, await wait(tokens[i] as string), corpus.items[i] as Item),
      altered: () => wait(alter(tokens[0] as string)).then(YES, NO),
      ...{ expected: EXPECTED, waits: true },
    },
  };
}

function allows(caps: CapsSource, payload: Payload, { op, peer }: Item): boolean {
  const grants = caps(payload.caps);
  return grants !== undefined && decide(grants, op, peer);
}

/** Changes the payload and leaves the MAC. */
function alter(token: string): string {
  const at = token.indexOf('.') + 20;
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
}

function accepted(verify: () => unknown): boolean {
  try {
    verify();
    return true;
  } catch {
    return false;
  }
}

interface Macaroons {
  readonly MacaroonsBuilder: {
    new (location: string, secret: Buffer, id: string): Builder;
    deserialize(text: string): unknown;
  };
  readonly MacaroonsVerifier: new (macaroon: unknown) => MacaroonVerifier;
}

interface Builder {
  add_first_party_caveat(caveat: string): Builder;
  getMacaroon(): { serialize(): string };
}

interface MacaroonVerifier {
  satisfyExact(caveat: string): MacaroonVerifier;
  satisfyGeneral(verify: (caveat: string) => boolean): MacaroonVerifier;
  isValid(secret: Buffer): boolean;
}

/** A macaroon for each item: deserialized, five caveats held against the operation, MACs. */
export function macaroonPeer(corpus: Corpus): TokenPeer {
  const { MacaroonsBuilder, MacaroonsVerifier } = load<Macaroons>('macaroons.js');
  const secret = Buffer.alloc(32, 9);
  const caveats = [
    ...['pool = liverpool', 'namespace = ns1', 'bits = rw'],
    ...['prefix = rbd_data', `time < ${EXPIRES}`],
  ];
  const tokens = corpus.items.map((_, i) => {
    const builder = new MacaroonsBuilder('osd', secret, `client.john ${4000 + i}`);
    for (const caveat of caveats) builder.add_first_party_caveat(caveat);
    return builder.getMacaroon().serialize();
  });
  const judge = (token: string, { op }: Item): boolean =>
    new MacaroonsVerifier(MacaroonsBuilder.deserialize(token))
      .satisfyExact(`pool = ${op.pool}`)
      .satisfyExact(`namespace = ${op.namespace}`)
      .satisfyExact(`bits = ${op.read ? 'r' : ''}${op.write ? 'w' : ''}`)
      .satisfyGeneral((caveat) => caveat.startsWith('prefix = ') && has(op.object, caveat, 9))
      .satisfyGeneral((caveat) => caveat.startsWith('time < ') && NOW_MS / 1000 < +caveat.slice(7))
      .isValid(secret);
  return {
    judge: (i) => judge(tokens[i] as string, corpus.items[i] as Item),
    altered: () => judge(alterMacaroon(tokens[0] as string), corpus.items[0] as Item),
    expected: ({ op }) =>
      op.pool === MATCH_OP.pool && op.object.startsWith('rbd_data') && op.read && op.write,
    waits: false,
  };
}

function has(object: string, caveat: string, from: number): boolean {
  return object.startsWith(caveat.slice(from));
}

/** Of the signature, which ends the token, a character in the middle. */
function alterMacaroon(token: string): string {
  const at = token.length - 12;
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
}

const NOW_MS = Number(NOW_NS / 1_000_000n);
const EXPIRES = NOW_MS / 1000 + 3600;
const CAPS_GRANTS = parseCaps(CAPS) ?? [];
const EXPECTED = ({ op, peer }: Item): boolean => decide(CAPS_GRANTS, op, peer);
const YES = (): boolean => true;
const NO = (): boolean => false;
