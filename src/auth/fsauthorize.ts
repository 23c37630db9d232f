/** `fs authorize`: caps for file systems (Ceph: AuthMonitor.cc). We serve no file system. */

import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { foundOrMade } from './add.ts';
import { sorted } from './capwords.ts';
import { type Call, type CommandReply, done, EINVAL, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { keyringText } from './get.ts';
import { keyTypeOf, newKey } from './keytypes.ts';

export async function fsAuthorize(call: Call, name: EntityName): Promise<CommandReply> {
  const { filesystem } = call.args;
  if (filesystem !== '*' && filesystem !== 'all') {
    throw new Refusal(EINVAL, TEXTS.noFilesystem(String(filesystem ?? '')));
  }
  const wanted = wantedCaps(filesystem, call.caps);
  const type = await keyTypeOf(call);
  let same = false;
  const entity = await foundOrMade(call, name, (existing) => {
    if (existing === undefined) return { key: newKey(call, type), caps: wanted };
    const caps = call.release === 16 ? wanted : merged(existing.caps, wanted);
    same = [...caps].every(([service, text]) => existing.caps.get(service) === text);
    if (same) return existing;
    if (call.release > 16) return { ...existing, caps };
    throw new Refusal(EINVAL, TEXTS.fsCapsDiffer(formatEntityName(name)));
  });
  const status = same && call.release > 16 ? TEXTS.fsCapsSame(formatEntityName(name)) : '';
  return done(status, keyringText(call, name, { ...entity, caps: new Map() }));
}

/** Words are path and flags, each pair followed by `root_squash` or not. */
function wantedCaps(filesystem: string, words: readonly string[]): ReadonlyMap<string, string> {
  const grants: string[] = [];
  let osd = 'r';
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [path, flags] = [words[i]!, words[i + 1]!];
    const squash = words[i + 2] === 'root_squash';
    if (squash) i++;
    refuseBadFlags(flags);
    if (flags.startsWith('rw')) osd = 'rw';
    const where = path === '/' ? '' : ` path=${path}`;
    grants.push(`allow ${flags}${where}${squash ? ' root_squash' : ''}`);
  }
  return new Map([
    ['mds', grants.join(', ')],
    ['mon', 'allow r'],
    ['osd', `allow ${osd} tag cephfs data=${filesystem}`],
  ]);
}

function refuseBadFlags(flags: string): void {
  if (flags !== 'r' && !flags.startsWith('rw')) throw new Refusal(EINVAL, TEXTS.flagsStart);
  let last = '';
  for (const flag of flags.slice(2)) {
    if (last >= flag) throw new Refusal(EINVAL, TEXTS.flagsOrder);
    if (flag !== 'p' && flag !== 's') throw new Refusal(EINVAL, TEXTS.unknownFlag(flag));
    last = flag;
  }
}

/** What is held, and each grant of what is wanted that is not there yet. */
function merged(
  held: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const caps = new Map(held);
  for (const [service, text] of wanted) {
    const grants = (held.get(service) ?? '').split(', ').filter((grant) => grant !== '');
    const more = text.split(', ').filter((grant) => !grants.includes(grant));
    caps.set(service, [...grants, ...more].join(', '));
  }
  return sorted(caps);
}
