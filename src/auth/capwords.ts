/** Caps as a command gives them: words in pairs, subsystem and text. */

import { parse } from '../caps/index.ts';
import type { CapsService } from '../caps/request.ts';
import { type Call, EINVAL, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';

/** The subsystems that have caps. */
export const CAP_SERVICES: readonly CapsService[] = ['mds', 'mgr', 'mon', 'osd'];

/**
 * The caps of the words, in order of the subsystem. Of a repeated subsystem Ceph 16 keeps the text
 * that `keeps` says, later releases the first. Throws Refusal for a text that does not parse.
 */
export async function capsOf(
  call: Call,
  keeps: 'first' | 'last',
): Promise<ReadonlyMap<string, string>> {
  const { caps: words, release } = call;
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < words.length; i += 2) pairs.push([words[i]!, words[i + 1]!]);
  if (release === 16) for (const [service, text] of pairs) await refuseBad(call, service, text);
  if (release > 16 || keeps === 'first') pairs.reverse();
  const caps = sorted(new Map(pairs));
  if (release > 16) for (const [service, text] of caps) await refuseBad(call, service, text);
  return caps;
}

/** Caps in order of the subsystem. */
export function sorted(caps: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...caps].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The first subsystem whose wanted text is not the one that is held. */
export function firstDifference(
  wanted: ReadonlyMap<string, string>,
  held: ReadonlyMap<string, string>,
): string | undefined {
  return [...sorted(wanted)].find(([service, text]) => held.get(service) !== text)?.[0];
}

async function refuseBad({ deps, release }: Call, service: string, text: string): Promise<void> {
  const known = CAP_SERVICES.find((each) => each === service);
  if (known === undefined) throw new Refusal(EINVAL, TEXTS.unknownCapType(service));
  const inCore = known === 'osd' || known === 'mds';
  const engine = inCore ? await deps.engine() : undefined;
  const parsed = parse(known, text, { release, ...(engine && { engine }) });
  if (!parsed.ok) throw new Refusal(EINVAL, parsed.error);
}
