/**
 * The way of `cephgate auth` to a real cluster: the commands that its monitors have, carried out by
 * them, over an encrypted connection and never over another.
 */

import type { CommandReply, CommandRequest } from '../auth/commands.ts';
import { Engine } from '../engine/engine.ts';
import { MonError } from '../errors.ts';
import type { ClientOptions, Surroundings } from '../keyring/cephconf.ts';
import type { MonClient } from '../mon/monclient.ts';
import type { Backend } from './authbackend.ts';
import type { ArgDescriptor, CommandDescriptor } from './cephcommands.ts';
import { startClient } from './cluster.ts';
import type { LikeCeph } from './likeceph.ts';

/** There is no connection to the cluster. */
export class CannotConnect extends Error {
  /** As librados has it. */
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

/**
 * Logs in at a monitor and asks which commands there are. Throws CannotConnect, FileError; using it
 * MonError: then it is not known whether a change was made.
 *
 * @param timeoutText `--connect-timeout`, seconds
 */
export async function openClusterBackend(
  options: ClientOptions,
  around: Surroundings,
  { release }: LikeCeph,
  timeoutText: string | undefined,
): Promise<Backend> {
  const requestMs = Math.max(Number(timeoutText) || 0, 0) * 1_000 || CONNECT_MS;
  const engine = await Engine.create({ preset: 'small' });
  let client: MonClient | undefined;
  const close = async (): Promise<void> => {
    await client?.stop();
    engine.wipe();
  };
  try {
    client = await startClient(options, around, { engine, release, timing: { requestMs } });
    await client.connected();
    const commands = await commandsOf(client);
    return { commands, run: (request) => run(client!, request), close };
  } catch (error) {
    await close();
    if (!(error instanceof MonError)) throw error;
    throw new CannotConnect(errnoOf(error), error.message);
  }
}

async function run(
  client: MonClient,
  { prefix, args, inbuf }: CommandRequest,
): Promise<CommandReply> {
  const { result, status, output } = await client.command({ prefix, ...args }, inbuf);
  const text = new TextDecoder().decode(output);
  output.fill(0);
  return { retcode: result, status, output: text };
}

/** The commands on entities, as the monitors describe them, in their order. */
async function commandsOf(client: MonClient): Promise<readonly CommandDescriptor[]> {
  const { result, output } = await client.command({ prefix: 'get_command_descriptions' });
  if (result !== 0) throw new MonError('mon.refused', 'cannot see the commands', result);
  const described = JSON.parse(new TextDecoder().decode(output)) as Record<string, Described>;
  return Object.entries(described)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, command]) => command)
    .filter(({ flags = 0 }) => (flags & FLAG_OBSOLETE) === 0)
    .map(descriptorOf)
    .filter(({ prefix }) => OF_ENTITIES.test(prefix));
}

/** Of `get_command_descriptions`: words and arguments. */
interface Described {
  readonly sig: readonly (string | DescribedArg)[];
  readonly help?: string;
  readonly flags?: number;
}

interface DescribedArg {
  readonly name: string;
  readonly n?: string;
  readonly req?: boolean | string;
  readonly positional?: boolean | string;
}

function descriptorOf({ sig, help = '', flags = 0 }: Described): CommandDescriptor {
  const words = sig.filter((each) => typeof each === 'string');
  const args = sig.filter((each) => typeof each !== 'string');
  return {
    prefix: words.join(' '),
    args: args.map(argOf),
    help,
    ...((flags & FLAGS_NOT_SHOWN) !== 0 && { deprecated: true }),
  };
}

function argOf({ name, n, req, positional }: DescribedArg): ArgDescriptor {
  return {
    name,
    required: String(req ?? true) === 'true',
    ...(n === 'N' && { many: true }),
    ...(String(positional ?? true) === 'false' && { named: true }),
  };
}

function errnoOf({ code, errno }: MonError): number {
  if (code === 'mon.address') return ENOENT;
  if (code !== 'mon.refused') return ETIMEDOUT;
  return errno === undefined ? EACCES : -errno;
}

const OF_ENTITIES = /^(?:auth |fs authorize$|mon set auth_)/;
/** Ceph: MonCommands.h. */
const FLAG_OBSOLETE = 2;
/** Deprecated, hidden. */
const FLAGS_NOT_SHOWN = 4 | 32;
/** An election takes some seconds, and a command waits for it. */
const CONNECT_MS = 60_000;
const ENOENT = 2;
const EACCES = 13;
const ETIMEDOUT = 110;
