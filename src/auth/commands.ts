/**
 * The monitor's `auth` commands, and `mon set` of ciphers, on a store (Ceph: preprocess_command and
 * prepare_command of AuthMonitor).
 *
 *   known? -> may the caller? -> arguments -> the command's own file
 */

import { check, parse } from '../caps/index.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { add, getOrCreate } from './add.ts';
import { caps } from './caps.ts';
import {
  type Call,
  type Caller,
  type CommandDeps,
  type CommandReply,
  type CommandRequest,
  EACCES,
  EINVAL,
  Refusal,
} from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { dumpKeys, wipeRotatingServiceKeys } from './dumpkeys.ts';
import { AuthDb, entityNameOf } from './entities.ts';
import { formattedOf } from './format.ts';
import { fsAuthorize } from './fsauthorize.ts';
import { exportKeyring, get, getKey, list } from './get.ts';
import { importKeyring } from './import.ts';
import { monSet } from './monset.ts';
import { rm } from './rm.ts';
import { clearPending, commitPending, getOrCreatePending, rotate } from './rotate.ts';

export type {
  Caller,
  CommandArgs,
  CommandDeps,
  CommandReply,
  CommandRequest,
} from './command.ts';

/**
 * Runs one command. What a monitor would refuse is a reply with a negative retcode; StoreError is
 * thrown, and then it is not known whether a change was made.
 */
export function runCommand(deps: CommandDeps, request: CommandRequest): Promise<CommandReply> {
  return runAs(deps, request, ({ prefix }) => {
    const command = Object.hasOwn(COMMANDS, prefix) ? COMMANDS[prefix]! : undefined;
    const known = command !== undefined && (command.since ?? 16) <= deps.release;
    return known ? command : undefined;
  });
}

/** Runs one change of an entity that need not be a command of the release. As runCommand. */
export function runChange(
  deps: CommandDeps,
  request: CommandRequest,
  change: (call: Call, name: EntityName) => Promise<CommandReply>,
): Promise<CommandReply> {
  return runAs(deps, request, () => ({ change }));
}

async function runAs(
  deps: CommandDeps,
  request: CommandRequest,
  find: (request: CommandRequest) => Command | undefined,
): Promise<CommandReply> {
  const db = new AuthDb(deps.store, deps.monKeyring);
  try {
    const command = find(request);
    if (command === undefined) throw new Refusal(EINVAL, TEXTS.commandNotKnown);
    return await run(deps, db, request, command);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { retcode: -error.errno, status: error.message, output: '' };
  } finally {
    db.wipe();
  }
}

async function run(
  deps: CommandDeps,
  db: AuthDb,
  request: CommandRequest,
  command: Command,
): Promise<CommandReply> {
  const { prefix, args, inbuf = new Uint8Array(0), force = false } = request;
  refuseOthers(deps, request, command);
  const call: Call = {
    deps,
    db,
    prefix,
    release: deps.release,
    entity: textOf(args.entity),
    caps: wordsOf(args.caps),
    args,
    inbuf,
    format: formattedOf(textOf(args.format)),
    guard: deps.guard && !force,
  };
  if ('look' in command) return await command.look(call);
  if (prefix !== 'fs authorize' && call.caps.length % 2 === 1) {
    throw new Refusal(EINVAL, TEXTS.oddCaps);
  }
  const name = entityNameOf(call.entity);
  if (call.entity !== '' && name === undefined) throw new Refusal(EINVAL, TEXTS.badEntityName);
  if ('write' in command) return await command.write(call);
  // Ceph: an empty name falls through all branches, and nothing has a word to say.
  if (name === undefined)
    throw new Refusal(EINVAL, prefix === 'auth rotate' ? TEXTS.badEntityName : '');
  return await command.change(call, name);
}

/** Before any look at the arguments. Throws Refusal. */
function refuseOthers(deps: CommandDeps, request: CommandRequest, command: Command): void {
  const { caller, prefix, args } = request;
  for (const text of Object.values(args).flat()) {
    if (text !== undefined && HALF_PAIR.test(text)) throw new Refusal(EINVAL, TEXTS.invalidCommand);
  }
  if (caller === undefined) return;
  const asked = { prefix, args, write: !('look' in command) };
  if (!mayRun(deps.release, caller, asked)) throw new Refusal(EACCES, TEXTS.accessDenied);
}

/** Whether a monitor would let the caller's mon caps do a command. */
export function mayRun(
  release: CommandDeps['release'],
  caller: Caller,
  { prefix, args, write }: Pick<CommandRequest, 'prefix' | 'args'> & { readonly write: boolean },
): boolean {
  const parsed = parse('mon', caller.monCaps, { release });
  const service = prefix.startsWith('mon ') ? 'mon' : 'auth';
  const op = {
    entity: formatEntityName(caller.name),
    service,
    command: prefix,
    args: argsForCaps(args),
    read: true,
    write,
    exec: service === 'auth',
  };
  return parsed.ok && check(parsed.grants, { op, peer: caller.peer }).allowed;
}

/** Ceph: _generate_command_map. Caps are asked one by one, as `caps_mon`. */
function argsForCaps(args: CommandRequest['args']): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(args)) {
    if (typeof value === 'string') out[name] = value;
  }
  const words = wordsOf(args.caps);
  for (let i = 0; i + 1 < words.length; i += 2) out[`caps_${words[i]}`] = words[i + 1]!;
  return out;
}

function textOf(value: string | readonly string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

function wordsOf(value: string | readonly string[] | undefined): readonly string[] {
  return typeof value === 'string' ? [value] : (value ?? []);
}

/** `look` needs rx of the caller, the others rwx; `change` is about one entity. */
type Command = { readonly since?: 20 } & (
  | { look(call: Call): Promise<CommandReply> }
  | { write(call: Call): Promise<CommandReply> }
  | { change(call: Call, name: EntityName): Promise<CommandReply> }
);

const COMMANDS: Readonly<Record<string, Command>> = {
  'auth ls': { look: list },
  'auth list': { look: list },
  'auth get': { look: get },
  'auth get-key': { look: getKey },
  'auth print-key': { look: getKey },
  'auth print_key': { look: getKey },
  'auth export': { look: exportKeyring },
  'auth add': { change: add },
  'auth get-or-create': { change: getOrCreate },
  'auth get-or-create-key': { change: getOrCreate },
  'auth caps': { change: caps },
  'auth rm': { change: rm },
  'auth del': { change: rm },
  'auth import': { write: importKeyring },
  'fs authorize': { change: fsAuthorize },
  'auth get-or-create-pending': { since: 20, change: getOrCreatePending },
  'auth commit-pending': { since: 20, change: commitPending },
  'auth clear-pending': { since: 20, change: clearPending },
  'auth rotate': { since: 20, change: rotate },
  // These two ask for rwx as well.
  'auth dump-keys': { since: 20, write: dumpKeys },
  'auth wipe-rotating-service-keys': { since: 20, write: wipeRotatingServiceKeys },
  'mon set': { since: 20, write: monSet },
};
/** Half a surrogate pair, which has no UTF-8 form. */
const HALF_PAIR = /\p{Surrogate}/u;
