/**
 * auth-mon-transcript.json: `auth` commands given to a real monitor one after the other. They run
 * in this order on a store of ours; keys that the monitor made differ, so each of ours is put down
 * under the name of the one that the transcript has in its place.
 */

import { getRandomValues } from 'node:crypto';
import { runCommand } from '../../src/auth/commands.ts';
import { AuthDb } from '../../src/auth/entities.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { Engine } from '../../src/engine/engine.ts';
import { KeyRing, type KeyRingEntity } from '../../src/keyring/keyring.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Report } from './report.ts';
import type { Rig } from './rig.ts';

export interface MonTranscript {
  readonly format: string;
  readonly rows: readonly MonRow[];
}

interface MonRow {
  readonly cmd: Readonly<Record<string, string | readonly string[]>> & { readonly prefix: string };
  readonly input?: string;
  readonly rc: number;
  readonly out: string;
  readonly err: string;
}

export interface MonAnswer {
  readonly rc: number;
  readonly out: string;
  readonly err: string;
}

/** Runs all rows; the answers have the transcript's names for generated keys. */
export async function replayMonTranscript(file: MonTranscript): Promise<MonAnswer[]> {
  const engine = await Engine.create();
  const store = new MemoryStore();
  const deps = {
    store,
    release: 16 as const,
    guard: false,
    monKeyring: monKeyringIn(file),
    engine: async () => engine,
    clock: () => BigInt(Date.now()) * 1_000_000n,
    random: (n: number) => getRandomValues(new Uint8Array(n)),
  };
  await new AuthDb(store, undefined).import(startOf(file));
  const names = givenKeys(file);
  const answers: MonAnswer[] = [];
  for (const { cmd, input = '', out } of file.rows) {
    const { prefix, ...args } = cmd;
    const inbuf = new TextEncoder().encode(input);
    const { retcode, status, output } = await runCommand(deps, { prefix, args, inbuf });
    learnNames(names, output, out);
    answers.push({ rc: retcode, out: renamed(output, names), err: renamed(status, names) });
  }
  await store.close();
  return answers;
}

export async function runMonTranscript(
  rig: Rig,
  report: Report,
  file: MonTranscript,
): Promise<void> {
  rig.used.add('src/auth');
  const answers = await replayMonTranscript(file);
  for (const [index, row] of file.rows.entries()) {
    const answer = answers[index]!;
    report.case(
      `${index + 1} ${row.cmd.prefix}`,
      { ...row, command: row.cmd.prefix },
      (check) => {
        check.same('rc', answer.rc, row.rc);
        check.same('out', answer.out, row.out);
        check.same('err', answer.err, row.err);
      },
      row,
    );
  }
}

/** The map that the first row, a list, shows. */
function startOf(file: MonTranscript): ReturnType<KeyRing['entities']> {
  const text = file.rows[0]!.out.replace(/^(\S+)$/gm, '[$1]')
    .replace(/^\tkey: /gm, '\tkey = ')
    .replace(/^\tcaps: \[(\w+)\] (.*)$/gm, '\tcaps $1 = "$2"');
  return KeyRing.parse(new TextEncoder().encode(text), 16).entities();
}

/** The monitor's own key, as `auth get mon.` shows it. */
function monKeyringIn(file: MonTranscript): KeyRingEntity {
  const shown = file.rows.map(({ out }) => /^\[mon\.\]\n\tkey = (\S+)/.exec(out)?.[1]);
  const key = CryptoKey.fromBase64(shown.find((each) => each !== undefined)!);
  return { key, caps: new Map([['mon', 'allow *']]) };
}

/** Keys that went in come out unchanged. */
function givenKeys({ rows }: MonTranscript): Map<string, string> {
  const texts = [rows[0]!.out, ...rows.map(({ input }) => input ?? '')];
  const keys = texts.flatMap((text) => text.match(KEY) ?? []);
  return new Map(keys.map((key) => [key, key]));
}

/** New keys are paired by their place, each with another one. */
function learnNames(names: Map<string, string>, ours: string, theirs: string): void {
  const [left, right] = [ours.match(KEY) ?? [], theirs.match(KEY) ?? []];
  if (left.length !== right.length) return;
  for (const [index, key] of left.entries()) {
    const taken = [...names.values()].includes(right[index]!);
    if (!names.has(key) && !taken) names.set(key, right[index]!);
  }
}

function renamed(text: string, names: ReadonlyMap<string, string>): string {
  return text.replace(KEY, (key) => names.get(key) ?? key);
}

/** Key texts: those of 16.2.15 begin so. */
const KEY = /A[AQ][A-Za-z0-9+/]{14,}=*/g;
