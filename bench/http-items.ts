/** What client and server of the HTTP ratios both make, from one seed. */

import { RecordWriter } from '../src/engine/index.ts';
import { type Corpus, makeCorpus, SERVICE } from './items.ts';

export const ROUTE_NOOP = '/noop';
/** Authorizers of the corpus, and records in a call. */
export const HTTP_CORPUS = 1_000;

/** Tickets sealed with aes: the faster key type, so that HTTP weighs most. */
export function httpCorpus(): Corpus {
  return makeCorpus('aes', HTTP_CORPUS, SEED);
}

/** The first `count` authorizers as verify records, for a verdict without challenge. */
export function verifyRecords({ items }: Corpus, count: number): Uint8Array {
  const bytes = new Uint8Array(count * RECORD_LEN_MAX);
  const writer = new RecordWriter(bytes);
  for (const [tag, { authorizer, peer }] of items.slice(0, count).entries()) {
    const challenge = { mode: 'off' } as const;
    writer.verify({ service: SERVICE, authorizer, peer, challenge, tail: false }, tag);
  }
  return bytes.slice(0, writer.at);
}

const SEED = 7;
const RECORD_LEN_MAX = 1_024;
