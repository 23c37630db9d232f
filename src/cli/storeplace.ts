/** Flags that say where the store is and how to open it, for every command that opens one. */

import { getRandomValues } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { OnStale } from '../auth/storeview.ts';
import { CryptoKey, type Random } from '../cephx/cryptokey.ts';
import { DecodeError } from '../cephx/denc.ts';
import { Engine } from '../engine/engine.ts';
import { FileError } from '../errors.ts';
import { codeOf, readPrivateFile } from '../http/files.ts';
import { engineSealer } from '../sealer.ts';
import type { EtcdAccess } from '../store/etcd/open.ts';
import {
  type Envelope,
  plaintextEnvelope,
  STORE_KEYS_MAX,
  sealedEnvelope,
} from '../store/etcd/seal.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import type { Option, Settings } from './options.ts';

/** What `etcd:` addresses need besides. */
export const ETCD_OPTIONS: readonly Option[] = [
  {
    name: 'store-ca',
    value: 'FILE',
    key: 'store_ca',
    help: 'PEM: the only certificates that etcd is trusted by; default those of the system',
  },
  {
    name: 'store-login',
    value: 'FILE',
    key: 'store_login',
    help: 'a file of mode 0600 with our name and password at etcd, NAME:PASSWORD',
  },
  {
    name: 'store-prefix',
    value: 'PREFIX',
    key: 'store_prefix',
    help: 'what our keys in etcd begin with',
    default: 'cephgate/',
  },
  {
    name: 'store-key',
    value: 'FILE',
    key: 'store_key',
    help: 'the key that seals what lies in etcd, mode 0600: see "cephgate store key"',
  },
  {
    name: 'store-plaintext',
    key: 'store_plaintext',
    help: 'keys lie in etcd as they are: whoever reads it or its backups has them all',
  },
];

/** What holds while etcd is away, for `serve`. */
export const STALE_OPTIONS: readonly Option[] = [
  {
    name: 'on-stale',
    value: 'serve|deny',
    key: 'on_stale',
    help: 'without news from etcd for --stale-after: verify on and say "stale", or deny all',
    default: 'serve',
  },
  {
    name: 'stale-after',
    value: 'SECONDS',
    key: 'stale_after',
    help: 'without news from etcd for so long, nothing is issued or administered; 3 or more',
    default: '10',
  },
];

/** What STALE_OPTIONS say. Throws ConfigError. */
export function staleness(settings: Settings): { onStale?: OnStale; staleAfterMs?: number } {
  const onStale = settings.oneOf('on-stale', ['serve', 'deny']);
  const afterNs = settings.seconds('stale-after');
  // The news comes once a second, and a little later when etcd has to choose a leader.
  if (afterNs !== undefined && (afterNs < 3_000_000_000n || afterNs > 86_400_000_000_000n)) {
    throw settings.wrong('stale-after', '3 to 86400 seconds');
  }
  return {
    ...(onStale && { onStale }),
    ...(afterNs !== undefined && { staleAfterMs: Number(afterNs / 1_000_000n) }),
  };
}

/** Opens the store at an address. Throws StoreError, FileError, ConfigError. */
export async function openStoreAt(address: string, settings: Settings): Promise<Store> {
  return await openStore(address, address.startsWith('etcd:') ? await accessOf(settings) : {});
}

async function accessOf(settings: Settings): Promise<EtcdAccess> {
  const caFile = settings.text('store-ca');
  const loginFile = settings.text('store-login');
  const prefix = settings.text('store-prefix');
  const isPlaintext = settings.flag('store-plaintext');
  const keyFile = settings.text('store-key');
  if (isPlaintext && keyFile !== undefined) {
    throw settings.wrong('store-plaintext', 'only one of it and --store-key');
  }
  let envelope: Envelope | undefined;
  if (isPlaintext) envelope = plaintextEnvelope();
  if (keyFile !== undefined) {
    const sealer = engineSealer(await Engine.create({ preset: 'small' }));
    envelope = sealedEnvelope(sealer, readStoreKeys(keyFile), random);
  }
  return {
    ...(caFile !== undefined && { ca: readText(caFile) }),
    ...(loginFile !== undefined && { login: readLogin(loginFile) }),
    ...(prefix !== undefined && { prefix }),
    ...(envelope !== undefined && { envelope }),
  };
}

/** The store keys of a file, the current one first. Throws FileError; its text holds no key. */
export function readStoreKeys(path: string): CryptoKey[] {
  const lines = readPrivateFile(path)
    .split('\n')
    .filter((line) => line.trim() !== '');
  if (lines.length === 0 || lines.length > STORE_KEYS_MAX) {
    const present = `it has ${lines.length} keys, expected 1 or ${STORE_KEYS_MAX}`;
    throw new FileError('file.content', `cannot use store key file "${path}": ${present}`);
  }
  return lines.map((line, i) => {
    const key = keyOf(line.trim());
    if (key?.typeName === 'aes256k') return key;
    const present = `line ${i + 1} is no aes256k key`;
    throw new FileError('file.content', `cannot use store key file "${path}": ${present}`);
  });
}

function keyOf(text: string): CryptoKey | undefined {
  try {
    return CryptoKey.fromBase64(text);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function readLogin(path: string): { name: string; password: string } {
  const [, name, password] = /^([^:\n]+):([^\n]+)\n?$/.exec(readPrivateFile(path)) ?? [];
  if (name === undefined || password === undefined) {
    throw new FileError('file.content', `cannot use "${path}": expected one line, NAME:PASSWORD`);
  }
  return { name, password };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new FileError('file.missing', `cannot open "${path}": ${codeOf(error)}`);
  }
}

const random: Random = (n) => getRandomValues(new Uint8Array(n));
