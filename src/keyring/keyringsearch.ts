/**
 * Which key a client logs in with, and from where (Ceph: KeyRing::from_ceph_context).
 */

import { existsSync } from 'node:fs';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import { FileError } from '../errors.ts';
import { CephConf, type ClientOptions, type Surroundings, splitList } from './cephconf.ts';
import { errorWords, readFileBytes } from './files.ts';
import { KeyRing, KeyRingError } from './keyring.ts';
import { decodeKeyText, type Release } from './keytext.ts';

/** The key of a client. */
export interface ClientKey {
  readonly conf: CephConf;
  readonly key: CryptoKey;
  /** Where the key stood. */
  readonly origin: 'key' | 'keyfile' | 'keyring';
  /** The keyring file or the key file. */
  readonly path?: string;
}

/**
 * There is no key to log in with. `words` are the lines that Ceph's library logs; one of them may
 * quote a key text. `errno` is what the login then fails with.
 */
export class KeyringSearchError extends FileError {
  readonly errno: number;
  readonly words: readonly string[];

  constructor(message: string, errno: number, words: readonly string[] = []) {
    super('file.content', message);
    this.errno = errno;
    this.words = words;
  }
}

/**
 * Finds the key of `options.name`: `keyfile` of the command line, then the options `key`,
 * `keyfile` and `keyring`. Of the keyring files the first that exists counts, even if it lacks the
 * entity. Throws KeyringSearchError, FileError, ConfFileError.
 */
export function findClientKey(
  options: ClientOptions,
  around: Surroundings,
  release: Release = 20,
): ClientKey {
  const conf = new CephConf(options, around);
  const typed = options.keyfile === undefined ? undefined : keyfileText(conf, options, around);
  if (typed !== undefined) {
    return { conf, key: decode(typed, release), origin: 'keyfile', path: options.keyfile! };
  }
  const text = conf.get('key') ?? '';
  if (text !== '') return { conf, key: decode(text, release), origin: 'key' };
  const path = conf.get('keyfile') ?? '';
  if (path !== '') {
    return { conf, key: decode(readKeyfile(conf, path), release), origin: 'keyfile', path };
  }
  return fromKeyring(conf, release);
}

/** The keyring files that are looked for, in order. */
export function keyringList(conf: CephConf): readonly string[] {
  return splitList(conf.get('keyring') ?? '');
}

function fromKeyring(conf: CephConf, release: Release): ClientKey {
  const list = conf.get('keyring') ?? '';
  const path = keyringList(conf).find((each) => existsSync(conf.locate(each)));
  if (path === undefined) {
    throw new KeyringSearchError(`cannot find a keyring on "${list}": no such file`, EACCES, [
      `unable to find a keyring on ${list}: (2) No such file or directory`,
      `no keyring found at ${list}, disabling cephx`,
    ]);
  }
  const keyring = readKeyring(conf, path, release);
  const entity = keyring.get(conf.name);
  if (entity === undefined) {
    keyring.wipe();
    const name = formatEntityName(conf.name);
    throw new KeyringSearchError(`cannot find ${name} in "${path}": no such section`, EACCES);
  }
  return { conf, key: entity.key, origin: 'keyring', path };
}

function readKeyring(conf: CephConf, path: string, release: Release): KeyRing {
  let bytes: Uint8Array;
  try {
    bytes = readFileBytes(conf.locate(path));
  } catch (error) {
    const words = errorWords(error);
    const { code, errno = -EIO } = error as NodeJS.ErrnoException;
    const reason = code === 'EISDIR' ? `bufferlist::read_file(${path}): read error:` : '';
    throw new KeyringSearchError(`cannot read "${path}": ${words}`, -errno, [
      `error reading file: ${path}: ${reason}${words}`,
    ]);
  }
  try {
    return KeyRing.parse(bytes, release);
  } catch (error) {
    if (!(error instanceof KeyRingError)) throw error;
    throw new KeyringSearchError(`cannot use "${path}": ${error.message}`, EIO, [
      `error parsing file ${path}: ${error.words}: Malformed input`,
      `failed to load ${path}: (5) Input/output error`,
    ]);
  } finally {
    bytes.fill(0);
  }
}

/** Ceph: a key file of the command line that cannot be read is as if it were not given. */
function keyfileText(
  conf: CephConf,
  options: ClientOptions,
  { stdin }: Surroundings,
): string | undefined {
  const path = options.keyfile!;
  if (path === '-') return new TextDecoder().decode(stdin ?? new Uint8Array(0));
  try {
    return new TextDecoder().decode(readFileBytes(conf.locate(path)));
  } catch {
    return undefined;
  }
}

function readKeyfile(conf: CephConf, path: string): string {
  try {
    return new TextDecoder().decode(readFileBytes(conf.locate(path)));
  } catch (error) {
    const words = errorWords(error);
    throw new KeyringSearchError(`cannot read "${path}": ${words}`, EINVAL);
  }
}

function decode(text: string, release: Release): CryptoKey {
  try {
    return decodeKeyText(text.trimEnd(), release);
  } catch {
    throw new KeyringSearchError('cannot decode the key that was given: not a key text', EINVAL, [
      `failed to decode key '${text.trimEnd()}'`,
    ]);
  }
}

const EACCES = 13;
const EINVAL = 22;
const EIO = 5;
