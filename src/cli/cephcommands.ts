/**
 * The `auth` commands as the `ceph` program knows them: words, arguments and help texts, word for
 * word, in the order of Ceph's table (Ceph: MonCommands.h). What is `since` 20 is as of 2026.
 */

import type { Release } from '../keyring/keytext.ts';

/** One argument of a command, a string or a list of strings. */
export interface ArgDescriptor {
  readonly name: string;
  readonly required: boolean;
  /** A list: one or more when required. */
  readonly many?: boolean;
  /** Only as `--key-type V`. */
  readonly named?: boolean;
}

export interface CommandDescriptor {
  readonly prefix: string;
  readonly args: readonly ArgDescriptor[];
  readonly help: string;
  /** Works, and is not shown. */
  readonly deprecated?: boolean;
}

/** The commands of a release. */
export function cephCommands(release: Release): readonly CommandDescriptor[] {
  return ALL.filter(({ since }) => (since ?? 16) <= release).map(({ prefix, args, ...rest }) => ({
    ...rest,
    prefix,
    args: args.filter(({ named }) => named !== true || release > 16),
  }));
}

/** `auth add <entity> [<caps>...]`. */
export function synopsis({ prefix, args }: CommandDescriptor): string {
  return [prefix, ...args.map(shown)].join(' ');
}

function shown({ name, required, many, named }: ArgDescriptor): string {
  const text = `${named ? `--${name.replaceAll('_', '-')} ` : ''}<${name}>${many ? '...' : ''}`;
  return required ? text : `[${text}]`;
}

const ENTITY: ArgDescriptor = { name: 'entity', required: true };
const CAPS: ArgDescriptor = { name: 'caps', required: false, many: true };
const KEY_TYPE: ArgDescriptor = { name: 'key_type', required: false, named: true };

type Row = CommandDescriptor & { readonly since?: 20 };

const ALL: readonly Row[] = [
  {
    prefix: 'auth export',
    args: [{ ...ENTITY, required: false }],
    help: 'write keyring for requested entity, or master keyring if none given',
  },
  { prefix: 'auth get', args: [ENTITY], help: 'write keyring file with requested key' },
  { prefix: 'auth get-key', args: [ENTITY], help: 'display requested key' },
  { prefix: 'auth print-key', args: [ENTITY], help: 'display requested key' },
  { prefix: 'auth print_key', args: [ENTITY], help: 'display requested key' },
  { prefix: 'auth list', args: [], help: 'list authentication state', deprecated: true },
  { prefix: 'auth ls', args: [], help: 'list authentication state' },
  { prefix: 'auth import', args: [], help: 'auth import: read keyring file from -i <file>' },
  { prefix: 'auth dump-keys', args: [], help: 'dump keys', since: 20 },
  {
    prefix: 'auth add',
    args: [ENTITY, CAPS, KEY_TYPE],
    help:
      'add auth info for <entity> from input file, or random key if no input is given, ' +
      'and/or any caps specified in the command',
  },
  {
    prefix: 'auth get-or-create-key',
    args: [ENTITY, CAPS, KEY_TYPE],
    help:
      'get, or add, key for <name> from system/caps pairs specified in the command.  If key ' +
      'already exists, any given caps must match the existing caps for that key.',
  },
  {
    prefix: 'auth get-or-create',
    args: [ENTITY, CAPS, KEY_TYPE],
    help:
      'add auth info for <entity> from input file, or random key if no input given, ' +
      'and/or any caps specified in the command',
  },
  {
    prefix: 'auth get-or-create-pending',
    args: [ENTITY],
    help: 'generate and/or retrieve existing pending key (rotated into place on first use)',
    since: 20,
  },
  { prefix: 'auth clear-pending', args: [ENTITY], help: 'clear pending key', since: 20 },
  {
    prefix: 'auth commit-pending',
    args: [ENTITY],
    help: 'rotate pending key into active position',
    since: 20,
  },
  { prefix: 'auth rotate', args: [ENTITY, KEY_TYPE], help: 'rotate entity key', since: 20 },
  {
    prefix: 'auth wipe-rotating-service-keys',
    args: [],
    help: 'wipe rotating service keys',
    since: 20,
  },
  {
    prefix: 'mon set',
    args: [
      { name: 'name', required: true },
      { name: 'value', required: true },
    ],
    help: 'set auth_allowed_ciphers, auth_preferred_cipher or auth_service_cipher',
    since: 20,
  },
  {
    prefix: 'fs authorize',
    args: [{ name: 'filesystem', required: true }, ENTITY, { ...CAPS, required: true }, KEY_TYPE],
    help:
      'add auth for <entity> to access file system <filesystem> based on following directory ' +
      'and permissions pairs',
  },
  {
    prefix: 'auth caps',
    args: [ENTITY, { ...CAPS, required: true }],
    help: 'update caps for <name> from caps specified in the command',
  },
  { prefix: 'auth del', args: [ENTITY], help: 'delete all caps for <name>', deprecated: true },
  { prefix: 'auth rm', args: [ENTITY], help: 'remove all caps for <name>' },
];
