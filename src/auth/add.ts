/** The commands that make an entity: add, get-or-create, get-or-create-key. */

import { equalBytes } from '../cephx/denc.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { KeyRing, type KeyRingEntity, KeyRingError } from '../keyring/keyring.ts';
import { capsOf, firstDifference } from './capwords.ts';
import {
  type Call,
  type CommandReply,
  committed,
  done,
  EEXIST,
  EINVAL,
  Refusal,
} from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { keyringText, keyText } from './get.ts';
import { keyTypeOf, newKey } from './keytypes.ts';

/** Nothing is said when the entity is already as it is asked for. */
export async function add(call: Call, name: EntityName): Promise<CommandReply> {
  const type = await keyTypeOf(call);
  const keyring = call.inbuf.length > 0 ? readKeyring(call) : undefined;
  const given = await capsOf(call, 'last');
  const section = keyring?.get(name);
  if (keyring !== undefined && section === undefined) {
    throw new Refusal(EINVAL, TEXTS.notInKeyring(formatEntityName(name)));
  }
  if (given.size > 0 && (section?.caps.size ?? 0) > 0) throw new Refusal(EINVAL, TEXTS.capsInBoth);
  const caps = given.size > 0 || section === undefined ? given : section.caps;
  const own = call.db.own(name);
  let added = false;
  await call.db.change(name, (present) => {
    const existing = present ?? own;
    added = existing === undefined;
    if (existing !== undefined) return refuseOther(call, name, existing, section, caps);
    return { entity: { key: section?.key ?? newKey(call, type), caps } };
  });
  return added ? committed(TEXTS.addedKey(formatEntityName(name))) : done();
}

export async function getOrCreate(call: Call, name: EntityName): Promise<CommandReply> {
  const caps = await capsOf(call, 'last');
  const type = await keyTypeOf(call);
  const entity = await foundOrMade(call, name, (existing) => {
    if (existing === undefined) return { key: newKey(call, type), caps };
    const service = firstDifference(caps, existing.caps);
    if (service === undefined) return existing;
    const text = TEXTS.keyExistsCapDiffers(formatEntityName(name), service);
    throw new Refusal(EINVAL, text);
  });
  if (call.prefix === 'auth get-or-create-key') return done('', keyText(call, entity, '\n'));
  return done('', withoutPlainCaps(call, name, entity));
}

/** An entity after it was looked at: written if `decide` gives another than there is. */
export async function foundOrMade(
  call: Call,
  name: EntityName,
  decide: (existing: KeyRingEntity | undefined) => KeyRingEntity,
): Promise<KeyRingEntity> {
  let entity: KeyRingEntity | undefined;
  await call.db.change(name, (present) => {
    const existing = present ?? call.db.own(name);
    entity = decide(existing);
    return entity === existing ? undefined : { entity };
  });
  return entity!;
}

/** Ceph: these commands print caps in every form but the plain one. */
export function withoutPlainCaps(call: Call, name: EntityName, entity: KeyRingEntity): string {
  return keyringText(call, name, call.format ? entity : { ...entity, caps: new Map() });
}

function readKeyring(call: Call): KeyRing {
  try {
    const keyring = KeyRing.parse(call.inbuf, call.release);
    for (const [, { key }] of keyring.entities()) call.db.keep(key);
    return keyring;
  } catch (error) {
    if (!(error instanceof KeyRingError)) throw error;
    throw new Refusal(EINVAL, TEXTS.errorDecoding);
  }
}

function refuseOther(
  call: Call,
  name: EntityName,
  existing: KeyRingEntity,
  section: KeyRingEntity | undefined,
  caps: ReadonlyMap<string, string>,
): undefined {
  const text = formatEntityName(name);
  if (section !== undefined && !sameKey(call, existing, section)) {
    throw new Refusal(EEXIST, TEXTS.keyDiffers(text));
  }
  if (caps.size !== existing.caps.size) throw new Refusal(EINVAL, TEXTS.capsDiffer(text));
  const service = firstDifference(caps, existing.caps);
  if (service !== undefined) throw new Refusal(EINVAL, TEXTS.capDiffers(text, service));
  return undefined;
}

/** Ceph: 16 compares the secrets alone, later releases all of the key. */
function sameKey({ release }: Call, a: KeyRingEntity, b: KeyRingEntity): boolean {
  if (release === 16) return equalBytes(a.key.secret, b.key.secret);
  const [left, right] = [a.key.encode(), b.key.encode()];
  const same = equalBytes(left, right);
  left.fill(0);
  right.fill(0);
  return same;
}
