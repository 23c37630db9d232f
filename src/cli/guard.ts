/**
 * Guard rails of `authtool`: what the real tool does without a word although keys or caps are lost,
 * or become readable to others. Each function throws GuardRefusal, which says what would be lost
 * and how to do it all the same.
 */

import { existsSync, readFileSync } from 'node:fs';
import { equalBytes } from '../cephx/denc.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { CephExit } from '../keyring/cephargs.ts';
import { KeyRing, type KeyRingEntity } from '../keyring/keyring.ts';
import type { Release } from '../keyring/keytext.ts';

/** Nothing was changed. */
export class GuardRefusal extends CephExit {}

/** `--create-keyring` over a file that holds something. */
export function refuseOverwriting(fileName: string, path: string): void {
  let length: number;
  try {
    length = readFileSync(path).length;
  } catch {
    return;
  }
  if (length > 0) throw refusal(`create ${fileName}`, `the file exists and its keys would be lost`);
}

/** Keys and caps that were in the file and would not be any more. */
export function refuseLoss(
  before: readonly (readonly [EntityName, KeyRingEntity])[],
  after: KeyRing,
): void {
  for (const [name, old] of before) {
    const now = after.get(name);
    const text = formatEntityName(name);
    if (now === undefined || !sameKey(old, now)) {
      throw refusal(`replace the key of ${text}`, 'the old key would be lost');
    }
    const lost = [...old.caps.keys()].filter((service) => !now.caps.has(service));
    if (lost.length > 0) {
      throw refusal(`change ${text}`, `its caps for ${lost.join(', ')} would be lost`);
    }
  }
}

/** Caps and names that do not survive the next reading. */
export function refuseUnreadable(keyring: KeyRing, text: Uint8Array, release: Release): void {
  let reread: string | undefined;
  try {
    const again = KeyRing.parse(text, release);
    reread = again.format();
    again.wipe();
  } catch {
    reread = undefined;
  }
  if (reread !== keyring.format()) {
    throw refusal('write the keyring', 'a name or caps text in it would not be read back as given');
  }
}

/** A mode that lets everyone read or change the keys; a file that exists keeps its own. */
export function refuseExposingMode(mode: number, path: string): void {
  if ((mode & 0o007) !== 0 && !existsSync(path)) {
    const octal = mode.toString(8).padStart(4, '0');
    throw refusal(`use mode ${octal}`, 'everyone on this machine could reach the keys');
  }
}

function sameKey(a: KeyRingEntity, b: KeyRingEntity): boolean {
  // A key of nothing is no loss.
  return !a.key.usable || (a.key.type === b.key.type && equalBytes(a.key.secret, b.key.secret));
}

function refusal(action: string, reason: string): GuardRefusal {
  return new GuardRefusal(1, `refusing to ${action}: ${reason} (CEPHGATE_GUARD=off does it)\n`);
}
