/**
 * Tokens of others beside our whole verify, and their decision engines (bench/peers), each only
 * where it is installed.
 */

import type { Corpus } from './items.ts';
import { awaited, type Case } from './measure.ts';
import { BISCUIT } from './peer-biscuit.ts';
import { decisions } from './peer-decisions.ts';
import { installed, startPeer } from './peer-load.ts';
import { againstSingle, againstWarm, ownCases, warmCases } from './peer-ratios.ts';
import { jwtPeers, macaroonPeer, type TokenPeer } from './peer-tokens.ts';
import type { Remote } from './remote.ts';
import type { Result } from './report.ts';
import type { Bench, Section } from './section.ts';

export const peersSection: Section = {
  name: 'peers',
  about: 'tokens and decision engines of others',
  everywhere: false,
  async run(bench) {
    if (!installed('fast-jwt')) {
      bench.say(`\n${MISSING}`);
      return [];
    }
    return [await tokens(bench), await decisions(bench)];
  },
};

async function tokens(bench: Bench): Promise<Result> {
  const corpus = bench.corpora[0] as Corpus;
  const peers = { ...(await jwtPeers(corpus)), 'macaroons.js, 5 caveats': macaroonPeer(corpus) };
  const cases: Case[] = [...ownCases(bench), ...(await warmCases(bench))];
  for (const [name, peer] of Object.entries(peers)) {
    await compareTokens(bench, corpus, name, peer);
    const count = corpus.items.length;
    cases.push(
      peer.waits
        ? awaited(name, async (i) => peer.judge(i % count))
        : { name, items: 1, run: (i) => peer.judge(i % count) },
    );
  }
  const biscuit = await startBiscuit(bench);
  try {
    if (biscuit !== undefined) cases.push(biscuit.case(BISCUIT_NAME, 'authorize'));
    return await bench.table({ title: 'tokens of others', cases }, (rows) => [
      ...againstSingle(rows),
      ...againstWarm(rows),
    ]);
  } finally {
    biscuit?.stop();
  }
}

async function compareTokens(
  bench: Bench,
  corpus: Corpus,
  name: string,
  peer: TokenPeer,
): Promise<void> {
  if (await peer.altered()) bench.differs(`${name} takes an altered token`);
  for (const [i, item] of corpus.items.entries()) {
    if ((await peer.judge(i)) !== peer.expected(item)) bench.differs(`${name} errs on item ${i}`);
  }
}

/** Undefined where it cannot run: it needs a flag that only Node has. */
async function startBiscuit(bench: Bench): Promise<Remote | undefined> {
  if (!installed(BISCUIT) || process.versions.bun !== undefined || 'Deno' in globalThis) return;
  const remote = startPeer('biscuit');
  try {
    const [compared, wrong] = (await remote.ask('compare')).split(' ');
    if (wrong !== '0') bench.differs(`biscuit-wasm errs in ${wrong} of ${compared} decisions`);
    return remote;
  } catch (error) {
    remote.stop();
    throw error;
  }
}

const MISSING = 'peers are not installed: npm ci --prefix bench/peers --ignore-scripts';
const BISCUIT_NAME = 'biscuit-wasm, parse and authorize';
