/**
 * What the monitor says to the `auth` commands, word for word: scripts compare these texts (Ceph:
 * AuthMonitor.cc of 16.2; from `pending` on, that of 2026).
 */

import type { KeyRingError } from '../keyring/keyring.ts';

export const TEXTS = {
  accessDenied: 'access denied',
  commandNotKnown: 'command not known',
  invalidCommand: 'invalid command',

  badEntityName: 'bad entity name',
  invalidEntityAuth: (typed: string) => `invalid entity_auth ${typed}`,
  oddCaps: 'bad capabilities request; odd number of arguments',
  unknownCapType: (service: string) => `unknown cap type '${service}'`,

  failedToFind: (name: string) => `failed to find ${name} in keyring`,
  doNotHave: (name: string) => `don't have ${name}`,
  noKeyForNothing: 'no key for auth(key=AAAAAAAAAAAAAAAA)',
  exportedKeyring: (name: string) => `exported keyring for ${name}`,
  exportedAuth: (key: string) => `export auth(key=${key})`,
  exportedMaster: 'exported master keyring',
  noEntries: 'no installed auth entries!',
  entries: 'installed auth entries:\n',

  addedKey: (name: string) => `added key for ${name}`,
  errorDecoding: 'error decoding keyring',
  notInKeyring: (name: string) => `key for ${name} not found in provided keyring`,
  capsInBoth: 'caps cannot be specified both in keyring and in command',
  keyDiffers: (name: string) => `entity ${name} exists but key does not match`,
  capsDiffer: (name: string) => `entity ${name} exists but caps do not match`,
  capDiffers: (name: string, service: string) =>
    `entity ${name} exists but cap ${service} does not match`,
  keyExistsCapDiffers: (name: string, service: string) =>
    `key for ${name} exists but cap ${service} does not match`,

  noEntry: (name: string) => `couldn't find entry ${name}`,
  updatedCaps: (name: string) => `updated caps for ${name}`,
  updated: 'updated',
  doesNotExist: (name: string) => `entity ${name} does not exist`,

  noData: 'auth import: no data supplied',
  noCaps: 'auth import: no caps supplied',
  malformed: (words: string) => `error decoding keyring ${words}: Malformed input`,
  imported: 'imported keyring',

  noFilesystem: (name: string) => `filesystem ${name} does not exist.`,
  flagsStart: "Permission flags must start with 'r' or 'rw'.",
  flagsOrder: "Permission flags (except 'rw') must be specified in alphabetical order.",
  unknownFlag: (flag: string) => `Unknown permission flag '${flag}'.`,
  fsCapsDiffer: (name: string): string =>
    `${name} already has fs capabilities that differ from those supplied. To generate a new auth ` +
    `key for ${name}, first remove ${name} from configuration files, execute 'ceph auth rm ` +
    `${name}', then execute this command again.`,
  fsCapsSame: (name: string) => `no update for caps of ${name}`,

  noPendingKey: 'no pending key',
  noEntity: 'entity does not exist',
  wiped: 'wiped rotating service keys!',
  notPlain: 'format type "plain" not supported by this command; try json',
  invalidKeyType: (typed: string) => `invalid key type: ${typed}`,
  insecureKeyType: (shown: string) =>
    `creating key with insecure key type ("${shown}") not allowed`,
  keyTypeNotAllowed: (shown: string): string =>
    `refusing to create key with type (${shown}) that cannot be used for auth ` +
    '(auth_allowed_ciphers)',
} as const;

/**
 * Why a keyring was refused. Ceph quotes the value that it could not read, which can be most of a
 * key: unless that is what the caller insists on, it is left out.
 */
export function malformedKeyring(error: KeyRingError, quoted: boolean): string {
  const { words } = error;
  const secret = /^(error setting modifier for .* type=(?:pending )?key) val=/s.exec(words);
  return TEXTS.malformed(secret === null || quoted ? words : `${secret[1]} val=(not shown)`);
}
