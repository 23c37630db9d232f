/** Biscuit: a token is parsed, which checks its signature, and an operation authorized. */

import { Buffer } from 'node:buffer';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PeerProcess } from './peer-process.ts';

export const BISCUIT = '@biscuit-auth/biscuit-wasm';

/** What is used of the package; what was made must be freed. */
interface Package {
  readonly KeyPair: new () => { getPublicKey(): unknown; getPrivateKey(): unknown };
  readonly Biscuit: {
    builder(): { addCode(code: string): void; build(key: unknown): { toBytes(): Uint8Array } };
    fromBytes(bytes: Uint8Array, key: unknown): Token;
  };
  readonly Authorizer: new () => Authorizer;
}

interface Token {
  free(): void;
}

interface Authorizer extends Token {
  addToken(token: Token): void;
  addCode(code: string): void;
  authorizeWithLimits(limits: object): number;
}

/** 256 tokens; every second operation is inside what they grant. */
export async function biscuitPeer(): Promise<PeerProcess> {
  const entry = resolve('bench/peers/node_modules', BISCUIT, 'module/biscuit.js');
  const { Authorizer, Biscuit, KeyPair } = (await import(pathToFileURL(entry).href)) as Package;
  const pair = new KeyPair();
  const root = pair.getPublicKey();
  const tokens = Array.from({ length: COUNT }, (_, i) => {
    const builder = Biscuit.builder();
    builder.addCode(`client("john"); id(${4000 + i}); ${GRANTS}`);
    return builder.build(pair.getPrivateKey()).toBytes();
  });
  const judge = (i: number, bytes = tokens[i % COUNT] as Uint8Array): boolean => {
    let token: Token;
    try {
      token = Biscuit.fromBytes(bytes, root);
    } catch {
      return false;
    }
    const authorizer = new Authorizer();
    authorizer.addToken(token);
    const object = allowed(i) ? `rbd_data.1f3a.${i % COUNT}` : `rbd_header.${i % COUNT}`;
    authorizer.addCode(`op("liverpool", "ns1", "${object}", "r"); ${POLICY}`);
    try {
      authorizer.authorizeWithLimits(LIMITS);
      return true;
    } catch {
      return false;
    } finally {
      authorizer.free();
      token.free();
    }
  };
  const compare = (): { compared: number; wrong: number } => {
    const altered = Buffer.from(tokens[0] as Uint8Array);
    altered[40] = altered[40]! ^ 1;
    const errs = tokens.filter((_, i) => judge(i) !== allowed(i)).length;
    return { compared: COUNT + 1, wrong: errs + (judge(0, altered) ? 1 : 0) };
  };
  return { calls: { authorize: judge }, compare };
}

function allowed(i: number): boolean {
  return i % 2 === 0;
}

const COUNT = 256;
const GRANTS = `
  grant("liverpool", "ns1", "rbd_data", "r"); grant("liverpool", "ns1", "rbd_data", "w");
  check if time($t), $t < 2030-01-01T00:00:00Z;`;
const POLICY = `
  time(2027-01-15T08:00:00Z);
  allow if op($p, $n, $o, $b), grant($p, $n, $prefix, $b), $o.starts_with($prefix);
  deny if true;`;
/** Its own default is a limit in time, which a first call exceeds. */
const LIMITS = { max_facts: 1000, max_iterations: 100, max_time_micro: 10_000_000 };
