/**
 * Native C on the same items (bench/native), where there is a compiler: OpenSSL with contexts made
 * once, and in the style of Ceph's source. A process for each key type; its slices and ours take
 * turns, on one core where that can be had.
 */

import { Buffer } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as abi from '../assembly/abi.ts';
import { BATCH, engineRecords, engineSingle, twin, writeRecords } from './contenders.ts';
import { type Ratio, withGoal } from './goals.ts';
import { type Corpus, type Item, NOW_NS, SERVICE } from './items.ts';
import { type Case, type Measured, ratio } from './measure.ts';
import { Remote } from './remote.ts';
import type { Result } from './report.ts';
import type { Bench, Section } from './section.ts';
import { inGroups } from './tables.ts';

export const nativeSection: Section = {
  name: 'native',
  about: 'native C on the same items',
  everywhere: false,
  async run(bench) {
    const folder = mkdtempSync(join(tmpdir(), 'cephgate-native-'));
    try {
      const why = compile(join(folder, 'native'));
      if (why !== undefined) {
        bench.say(`\nno native rows: ${why}`);
        return [];
      }
      const unpin = pin();
      try {
        return await measured(bench, folder);
      } finally {
        unpin();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measured(bench: Bench, folder: string): Promise<Result[]> {
  const results: Result[] = [];
  for (const corpus of bench.corpora) {
    const path = join(folder, corpus.type);
    writeFileSync(path, encodeCorpus(corpus));
    const remote = new Remote(join(folder, 'native'), [path]);
    try {
      const [compared, wrong] = (await remote.ask('compare')).split(' ');
      bench.say(`\n${corpus.type}: ${compared} verdicts of native C compared, ${wrong} differ`);
      if (wrong !== '0') bench.differs(`native C errs in ${wrong} verdicts of ${corpus.type}`);
      const { title, cases } = nativeTable(bench, corpus, remote);
      results.push(await bench.table({ title, cases }, (rows) => nativeRatios(corpus.type, rows)));
    } finally {
      remote.stop();
    }
  }
  return results;
}

function nativeTable(
  { engine }: Bench,
  corpus: Corpus,
  remote: Remote,
): { title: string; cases: Case[] } {
  const { items, type } = corpus;
  const single = engineSingle(engine);
  const records = engineRecords(engine);
  const sets = inGroups(items).map(writeRecords);
  const cases: Case[] = [
    { name: SINGLE, items: 1, run: (i) => single(items[i % items.length] as Item) },
    { name: BATCHED, items: BATCH, run: (i) => records(sets[i % sets.length]!) },
    remote.case(EVP, 'evp'),
    remote.case(`${EVP} again (noise)`, 'evp'),
    remote.case(CEPH, 'ceph'),
    remote.case('C, caps parse and decide alone', 'caps'),
  ];
  return { title: `beside native C, ${type}`, cases };
}

/** The last two are less than 1 where C is faster. */
function nativeRatios(type: string, rows: readonly Measured[]): Ratio[] {
  const row = (name: string): Measured => rows.find((each) => each.name === name) as Measured;
  return [CEPH, EVP].flatMap((name) => [
    withGoal(`${type}: ${name} / single`, ratio(row(name), row(SINGLE))),
    withGoal(`${type}: ${name} / batch`, ratio(row(name), row(BATCHED))),
  ]);
}

/** Undefined when the program is there, else why not. */
export function compile(program: string): string | undefined {
  const folder = resolve('bench/native');
  if (!existsSync(folder)) return 'bench/native is not here';
  const sources = ['main.c', 'verify.c', 'seal.c', 'caps.c'].map((name) => join(folder, name));
  const flags = ['-std=c11', '-O2', '-Wall', '-Wno-deprecated-declarations', '-o', program];
  const { error, status, stderr } = spawnSync('cc', [...flags, ...sources, '-lcrypto']);
  if (error === undefined && status === 0) return undefined;
  const said = stderr?.toString().split('\n').find(Boolean) ?? error?.message;
  return `${said} (apt-get install -y gcc libc6-dev libssl-dev)`;
}

/** Keeps this process, and what it starts, on one core; gives the way back. */
function pin(): () => void {
  const shown = spawnSync('taskset', ['-p', '-c', `${process.pid}`]);
  const before = /: ([0-9,-]+)\s*$/.exec(shown.stdout?.toString() ?? '')?.[1];
  if (shown.status !== 0 || before === undefined) return () => undefined;
  const last = before.split(/[,-]/).pop() as string;
  const set = (cores: string): void => {
    spawnSync('taskset', ['-a', '-p', '-c', cores, `${process.pid}`]);
  };
  set(last);
  return () => set(before);
}

/** The layout that bench/native/main.c reads; the twin says what is expected. */
export function encodeCorpus(corpus: Corpus): Uint8Array {
  const parts: Uint8Array[] = [];
  const number = (value: number | bigint, bytes: 4 | 8): void => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(value), true);
    parts.push(new Uint8Array(view.buffer, 0, bytes));
  };
  const bytes = (value: Uint8Array | string): void => {
    const encoded = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    number(encoded.length, 4);
    parts.push(encoded);
  };
  for (const reason of REASONS) number(reason, 4);
  number(SERVICE, 4);
  number(NOW_NS / 1_000_000_000n, 8);
  number(300, 8);
  number(corpus.secrets.length, 4);
  for (const { secretId, key } of corpus.secrets) {
    number(secretId, 8);
    number(key.type, 4);
    bytes(key.secret);
  }
  const all = [...corpus.items, ...corpus.odd];
  number(corpus.items.length, 4);
  number(all.length, 4);
  const judge = twin(corpus);
  for (const item of all) {
    number(item.challenge.value, 8);
    number(judge(item), 4);
    parts.push(item.peer.bytes);
    number((item.op.read ? 1 : 0) | (item.op.write ? 2 : 0), 4);
    bytes(item.authorizer);
    for (const name of [item.op.pool, item.op.namespace, item.op.object]) bytes(name);
  }
  return Buffer.concat(parts);
}

/** In the order of `enum reason` of bench/native/native.h. */
const REASONS = [
  abi.REASON_OK,
  abi.REASON_AUTHORIZER_MALFORMED,
  abi.REASON_AUTHORIZER_MODE,
  abi.REASON_AUTHORIZER_SERVICE,
  abi.REASON_AUTHORIZER_SECRET_UNKNOWN,
  abi.REASON_AUTHORIZER_INVALID,
  abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH,
  abi.REASON_LIMIT_EXCEEDED,
  abi.REASON_TICKET_IMPLAUSIBLE,
  abi.REASON_TICKET_EXPIRED,
  abi.REASON_TICKET_NOT_YET_VALID,
  abi.REASON_CAPS_NONE,
  abi.REASON_CAPS_UNPARSABLE,
  abi.REASON_CAPS_NO_MATCHING_GRANT,
];

const SINGLE = 'cephgate, object';
const BATCHED = `cephgate, batch ${BATCH} of records`;
const EVP = 'C, EVP reused';
const CEPH = "C in Ceph's call style";
