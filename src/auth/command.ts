/** What a command gets, what it gives, and how it says no. */

import type { KeyType, Random } from '../cephx/cryptokey.ts';
import type { EntityName } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import type { Address } from '../engine/types.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import type { Release } from '../keyring/keytext.ts';
import type { Store } from '../store/store.ts';
import type { CipherOptions } from './cipherpolicy.ts';
import type { AuthDb } from './entities.ts';
import { type Formatted, formatNode, type Node } from './format.ts';

/** What stands around the commands. */
export interface CommandDeps {
  readonly store: Store;
  /** Texts, key types and commands of this Ceph release. */
  readonly release: Release;
  /** Refuse what locks everybody out. */
  readonly guard: boolean;
  /** `mon.` of the monitor's own keyring file, which is no part of the store. */
  readonly monKeyring?: KeyRingEntity | undefined;
  readonly cipherOptions?: CipherOptions;
  /** Parses osd and mds caps. */
  engine(): Promise<Engine>;
  /** Nanoseconds since 1970. */
  clock(): bigint;
  readonly random: Random;
  /** Told now and then how much of a large command is done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Makes the rotating secrets anew, where somebody else holds them as well. */
  wipeRotating?(): Promise<void>;
}

/** The fields of a command as JSON has them: `entity`, `caps`, `key_type`, `format`. */
export type CommandArgs = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Who calls; without it everything is allowed. */
export interface Caller {
  readonly name: EntityName;
  readonly monCaps: string;
  readonly peer: Address | undefined;
}

export interface CommandRequest {
  readonly prefix: string;
  readonly args: CommandArgs;
  /** The file that comes with the command; empty for none. */
  readonly inbuf?: Uint8Array;
  readonly caller?: Caller | undefined;
  /** Do it although a guard rail stands there. */
  readonly force?: boolean;
}

/** As the real monitor's answer: 0 or a negative errno, the words, the data. */
export interface CommandReply {
  readonly retcode: number;
  readonly status: string;
  readonly output: string;
}

/** One running command. */
export interface Call {
  readonly deps: CommandDeps;
  readonly db: AuthDb;
  readonly prefix: string;
  readonly release: Release;
  /** The entity as it was typed; empty for none. */
  readonly entity: string;
  readonly caps: readonly string[];
  readonly args: CommandArgs;
  readonly inbuf: Uint8Array;
  readonly format: Formatted | undefined;
  /** The guard rails stand: they are on and the caller does not insist. */
  readonly guard: boolean;
}

/** Ends a command with an error of the monitor. Nothing was changed. */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly errno: number;

  /** @param errno positive */
  constructor(errno: number, status: string) {
    super(status);
    this.errno = errno;
  }
}

/** A reply of success. */
export function done(status = '', output = ''): CommandReply {
  return { retcode: 0, status, output };
}

/** Ceph: when a change is committed, only the first line of what it says is sent. */
export function committed(status: string, output = ''): CommandReply {
  return done(status.split('\n', 1)[0], output);
}

/** Prints data in the format that was asked for; `plain` is what it is without one. */
export function printed(call: Call, plain: () => string, node: () => Node): string {
  return call.format === undefined ? plain() : formatNode('auth', node(), call.format);
}

/** What newer releases do not say any more. */
export function until16(call: Call, status: string): string {
  return call.release === 16 ? status : '';
}

/** A type of key that can be made. */
export type NewKeyType = KeyType['name'];

export const EPERM = 1;
export const ENOENT = 2;
export const EACCES = 13;
export const EEXIST = 17;
export const EINVAL = 22;
