/** `cephgate store`: moving a store, comparing two, and the key that seals one in etcd. */

import { getRandomValues } from 'node:crypto';
import * as fs from 'node:fs';
import { INSTANCE_RECORDS } from '../auth/leader-records.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { utimeFromNs } from '../cephx/denc.ts';
import { ConfigError, FileError, StoreError } from '../errors.ts';
import { exists, writePrivateFile } from '../http/files.ts';
import { type CopyOptions, copyStore, type Digest, digestStore } from '../store/copy.ts';
import type { Store } from '../store/store.ts';
import { transaction } from '../store/transaction.ts';
import { EXIT_YES, type Io } from './io.ts';
import { type Flags, formatOptions, type Option, parseFlags } from './options.ts';
import { type Tell, withProgress } from './progress.ts';
import { CONFIG_OPTION, settingsOf } from './settings.ts';
import { ETCD_OPTIONS, openStoreAt, readStoreKeys } from './storeplace.ts';

const OPTIONS: readonly Option[] = [
  { name: 'from', value: 'ADDRESS', help: 'copy: the store to read, instead of the first word' },
  { name: 'to', value: 'ADDRESS', help: 'copy: the new store, instead of the second word' },
  { name: 'json', help: 'print JSON' },
  ...ETCD_OPTIONS,
  CONFIG_OPTION,
];

export const STORE_HELP: string = `usage: cephgate store copy FROM TO [FLAGS]
       cephgate store digest ADDRESS [FLAGS]
       cephgate store key FILE
       cephgate store reseal ADDRESS [FLAGS]

copy    copies the newest state of a store into a new or empty one and compares the two
digest  prints how many entries a store has and their SHA-256: equal stores, equal digests
key     makes a store key in FILE, or a new one that seals while the old one still opens
reseal  seals everything anew under the current store key: the previous one may go then

ADDRESS is sqlite:PATH, or etcd:https://HOST:PORT,... with its flags.

${formatOptions(OPTIONS)}`;

export async function storeCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  const [verb, ...words] = flags.words;
  if (flags.help) io.out(STORE_HELP);
  else if (verb === 'copy') await copy(flags, words, io);
  else if (verb === 'digest') await digest(flags, words, io);
  else if (verb === 'key') makeKey(only(words, 'FILE'), io);
  else if (verb === 'reseal') await reseal(flags, words, io);
  else {
    throw new ConfigError('config.unknown', `unknown command "${verb ?? ''}": see --help`);
  }
  return EXIT_YES;
}

async function copy(flags: Flags, words: readonly string[], io: Io): Promise<void> {
  const rest = [...words];
  const from = flags.values.get('from')?.[0] ?? rest.shift();
  const to = flags.values.get('to')?.[0] ?? rest.shift();
  if (from === undefined || to === undefined || rest.length > 0) {
    throw new ConfigError('config.value', 'wrong words: expected FROM and TO');
  }
  const settings = settingsOf(OPTIONS, flags, io.env);
  // A store that is to be read is not made.
  const path = pathOf(from);
  if (path !== undefined && !exists(path)) throw missing(path);
  const target = newFile(to);
  const source = await openStoreAt(from, settings);
  let done: Digest;
  try {
    const store = await openStoreAt(target?.address ?? to, settings);
    try {
      done = await withProgress(io, 'entries copied', (tell) =>
        copyStore(source, store, options(tell)),
      );
    } finally {
      await store.close();
    }
    target?.finish();
  } catch (error) {
    target?.remove();
    throw error;
  } finally {
    await source.close();
  }
  print(flags, io, done, `copied ${done.entries} entries, SHA-256 ${done.digest}\n`);
}

async function digest(flags: Flags, words: readonly string[], io: Io): Promise<void> {
  const found = await withStore(flags, words, io, (store) =>
    withProgress(io, 'entries read', (tell) => digestStore(store, options(tell))),
  );
  print(flags, io, found, `${found.entries} entries, SHA-256 ${found.digest}\n`);
}

async function reseal(flags: Flags, words: readonly string[], io: Io): Promise<void> {
  const entries = await withStore(flags, words, io, async (store) => {
    let done = 0;
    for (let after: Uint8Array | undefined, more = true; more; ) {
      const page = await store.list({ ...CALL, prefix: new Uint8Array(), after });
      for (const { key, value, revision } of page.entries) {
        const tx = transaction({ compares: [{ key, revision }], puts: [{ key, value }] });
        const outcome = await store.commit(tx, CALL);
        // What somebody else has written meanwhile is sealed anew already.
        if (outcome.status === 'unknown') throw new StoreError('store.failed', outcome.message);
        done += 1;
      }
      after = page.next;
      more = after !== undefined;
    }
    return done;
  });
  io.out(`sealed ${entries} entries anew\n`);
}

/** A new file, or the new key before the present one, which becomes the previous one. */
function makeKey(path: string, io: Io): void {
  const previous = exists(path) ? readStoreKeys(path)[0]! : undefined;
  const created = utimeFromNs(BigInt(Date.now()) * 1_000_000n);
  const key = CryptoKey.create('aes256k', created, (n) => getRandomValues(new Uint8Array(n)));
  const lines = [key, previous].flatMap((each) => (each ? [`${each.toBase64()}\n`] : []));
  writePrivateFile(path, lines.join(''));
  const present = previous === undefined ? '' : ', the present one opens until it is left out';
  io.out(`made a store key in ${path}${present}\n`);
}

async function withStore<T>(
  flags: Flags,
  words: readonly string[],
  io: Io,
  use: (store: Store) => Promise<T>,
): Promise<T> {
  const address = only(words, 'ADDRESS');
  const path = pathOf(address);
  if (path !== undefined && !exists(path)) throw missing(path);
  const store = await openStoreAt(address, settingsOf(OPTIONS, flags, io.env));
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** A file that has its name only when it is complete; undefined where the store is no file. */
function newFile(address: string): { address: string; finish(): void; remove(): void } | undefined {
  const path = pathOf(address);
  if (path === undefined) return undefined;
  if (exists(path)) {
    throw new FileError('file.write', `cannot copy to "${path}": it exists`);
  }
  const part = `${path}.part`;
  const remove = (): void => {
    for (const end of ['', '-wal', '-shm', '.lock', '.lock-journal']) {
      fs.rmSync(part + end, { force: true });
    }
  };
  remove();
  return {
    address: `sqlite:${part}`,
    finish() {
      fs.renameSync(part, path);
      remove();
    },
    remove,
  };
}

function options(progress: Tell): CopyOptions {
  const isPrefix = (key: Uint8Array, prefix: Uint8Array): boolean =>
    prefix.every((byte, i) => key[i] === byte);
  return {
    ...CALL,
    // What instances tell each other is of no use to those that start on the copy.
    skip: (key) => isPrefix(key, INSTANCE_RECORDS),
    progress,
  };
}

function print(flags: Flags, io: Io, { snapshot, ...found }: Digest, text: string): void {
  const json = { ...found, snapshot: snapshot.toString() };
  io.out(flags.values.has('json') ? `${JSON.stringify(json)}\n` : text);
}

function only(words: readonly string[], name: string): string {
  if (words.length !== 1) throw new ConfigError('config.value', `wrong words: expected ${name}`);
  return words[0]!;
}

function pathOf(address: string): string | undefined {
  return /^sqlite:(.+)$/s.exec(address)?.[1];
}

function missing(path: string): FileError {
  return new FileError('file.missing', `cannot open "${path}": there is no such file`);
}

const CALL = { timeoutMs: 20_000 };
