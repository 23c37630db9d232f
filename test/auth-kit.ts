/** What the tests of the `auth` commands share. */

import { getRandomValues } from 'node:crypto';
import { type CommandDeps, type CommandReply, runCommand } from '../src/auth/commands.ts';
import { AuthDb } from '../src/auth/entities.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Engine } from '../src/engine/engine.ts';
import { KeyRing, type KeyRingEntity } from '../src/keyring/keyring.ts';
import { MemoryStore } from '../src/store/memory.ts';
import type { Store } from '../src/store/store.ts';

let engine: Promise<Engine> | undefined;

/** One engine for all tests of a file. */
export function sharedEngine(): Promise<Engine> {
  engine ??= Engine.create();
  return engine;
}

/** As recorded, unless the test says otherwise. */
export function commandDeps(options: Partial<CommandDeps> = {}): CommandDeps {
  return {
    store: options.store ?? new MemoryStore(),
    release: 16,
    guard: false,
    engine: sharedEngine,
    clock: () => BigInt(Date.now()) * 1_000_000n,
    random: (n) => getRandomValues(new Uint8Array(n)),
    ...options,
  };
}

/** A command in the words of its JSON form. */
export function command(
  deps: CommandDeps,
  cmd: { readonly prefix: string } & Readonly<Record<string, string | readonly string[]>>,
  input = '',
): Promise<CommandReply> {
  const { prefix, ...args } = cmd;
  return runCommand(deps, { prefix, args, inbuf: new TextEncoder().encode(input) });
}

/** The section of `mon.`, as the monitor's own keyring has it. */
export function monKeyring(key: string): KeyRingEntity {
  return { key: CryptoKey.fromBase64(key), caps: new Map([['mon', 'allow *']]) };
}

/** Puts the entities of a keyring text into the store. */
export async function load(store: Store, text: string): Promise<void> {
  const entities = KeyRing.parse(new TextEncoder().encode(text)).entities();
  await new AuthDb(store, undefined).import(entities);
}

/** The entities of the store as `auth export` prints them. */
export async function dump(store: Store): Promise<string> {
  const db = new AuthDb(store, undefined);
  const keyring = new KeyRing();
  for (const { name, entity } of await db.list()) keyring.add(name, entity);
  return keyring.format();
}
