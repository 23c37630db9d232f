/**
 * `cephgate authtool`: argument for argument `ceph-authtool` (Ceph: ceph_authtool.cc). Which Ceph
 * is imitated, and whether what destroys or exposes keys is refused, the environment says:
 * CEPHGATE_RELEASE and CEPHGATE_GUARD.
 */

import { getRandomValues } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import process from 'node:process';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { utimeFromNs } from '../cephx/denc.ts';
import { ENTITY_TYPES, type EntityName, formatEntityName } from '../cephx/protocol.ts';
import { VERSION } from '../http/operations.ts';
import {
  CephArgs,
  CephExit,
  cephArgsWords,
  configPass,
  earlyPass,
  withCephArgs,
} from '../keyring/cephargs.ts';
import { ConfFileError, parseConfFile } from '../keyring/conffile.ts';
import { errorWords, readFileBytes, replaceFile } from '../keyring/files.ts';
import { KeyRing, KeyRingError } from '../keyring/keyring.ts';
import { decodeKeyText, type Release } from '../keyring/keytext.ts';
import { type AuthtoolArgs, parseAuthtool, usage } from './authtoolargs.ts';
import {
  GuardRefusal,
  refuseExposingMode,
  refuseLoss,
  refuseOverwriting,
  refuseUnreadable,
} from './guard.ts';
import type { Io } from './io.ts';
import { likeCeph } from './likeceph.ts';

/** Runs one command line, without the name of the program. Exit code 0 or 1, as the real tool. */
export async function authtoolCommand(argv: readonly string[], io: Io): Promise<number> {
  const { release, guard } = likeCeph(io.env);
  let stdout = '';
  // What a run reports on the way would be untrue once a guard rail stops it.
  const out = (text: string) => {
    stdout += text;
  };
  try {
    run(argv, { io: { ...io, out, err: (text) => io.err(text) }, release, guard });
    io.out(stdout);
    return 0;
  } catch (error) {
    if (!(error instanceof CephExit)) throw error;
    if (!(error instanceof GuardRefusal)) io.out(stdout + error.stdout);
    io.err(error.stderr);
    return error.exitCode;
  }
}

interface Run {
  readonly io: Io;
  readonly release: Release;
  readonly guard: boolean;
}

function run(argv: readonly string[], on: Run): void {
  const { io, release } = on;
  if (argv.length === 0) throw new CephExit(1, 'ceph-authtool: -h or --help for usage\n');
  if (argv.includes('-h') || argv.includes('--help')) throw new CephExit(1, '', usage(release));
  const args = new CephArgs(withCephArgs(argv, io.env.CEPH_ARGS));
  const early = earlyPass(args, { type: ADMIN_TYPE, id: 'admin' });
  io.out(early.shown);
  if (early.version) throw new CephExit(0, '', versionText(release));
  // Ceph: the configuration reads CEPH_ARGS once more, alone, before the joined words.
  io.err(configPass(new CephArgs(cephArgsWords(io.env.CEPH_ARGS))).stderr);
  io.err(configPass(args).stderr);
  const asked = parseAuthtool(args, release);
  if (asked.genPrintKey) {
    const key = newKey(asked);
    io.out(`${key.toBase64()}\n`);
    key.wipe();
    return;
  }
  const file = new KeyRingFile(asked, early.name, on);
  try {
    file.open();
    file.change();
    file.print();
    file.write();
  } finally {
    file.wipe();
  }
}

/** The keyring that one run works on. Methods throw CephExit. */
class KeyRingFile {
  readonly #asked: AuthtoolArgs;
  readonly #name: EntityName;
  readonly #on: Run;
  #keyring = new KeyRing();

  constructor(asked: AuthtoolArgs, name: EntityName, on: Run) {
    this.#asked = asked;
    this.#name = name;
    this.#on = on;
  }

  open(): void {
    const { fileName, createKeyring, genKey, addKey, caps } = this.#asked;
    if (createKeyring) {
      if (this.#on.guard) refuseOverwriting(fileName, this.#path(fileName));
      this.#on.io.out(`creating ${fileName}\n`);
    } else this.#keyring = this.#read(fileName);
    if (genKey || addKey !== '' || caps.size === 0) return;
    if (this.#keyring.get(this.#name) === undefined) {
      throw new CephExit(
        1,
        `can't find existing key for ${formatEntityName(this.#name)} ` +
          'and neither gen-key nor add-key specified\n',
      );
    }
  }

  /** Import, new key, given key, caps: in this order, which is the real tool's. */
  change(): void {
    const { fileName, importKeyring, genKey, addKey, capsFile, caps } = this.#asked;
    const { io, guard } = this.#on;
    const before = this.#keyring.entities();
    if (importKeyring !== '') {
      const other = this.#read(importKeyring);
      io.out(`importing contents of ${importKeyring} into ${fileName}\n`);
      this.#keyring.import(other);
    }
    if (genKey) this.#keyring.add(this.#name, { key: newKey(this.#asked), caps: new Map() });
    if (addKey !== '') this.#addKey(addKey);
    if (capsFile !== '') this.#keyring.setCaps(this.#name, this.#readCaps(capsFile));
    if (caps.size > 0) this.#keyring.setCaps(this.#name, caps);
    if (addKey !== '' && caps.size > 0) {
      io.out(`added ${caps.size} caps to entity ${formatEntityName(this.#name)}\n`);
    }
    if (guard) refuseLoss(before, this.#keyring);
  }

  print(): void {
    const { list, printKey } = this.#asked;
    const { io } = this.#on;
    if (list) io.out(this.#keyring.format());
    if (!printKey) return;
    const entity = this.#keyring.get(this.#name);
    if (entity === undefined) {
      throw new CephExit(1, `entity ${formatEntityName(this.#name)} not found\n`);
    }
    io.out(`${entity.key.toBase64()}\n`);
  }

  write(): void {
    const { fileName, mode, changes } = this.#asked;
    if (!changes) return;
    const bytes = new TextEncoder().encode(this.#keyring.format());
    if (this.#on.guard) {
      refuseUnreadable(this.#keyring, bytes, this.#on.release);
      refuseExposingMode(mode, this.#path(fileName));
    }
    try {
      replaceFile(this.#path(fileName), bytes, mode);
    } catch (error) {
      const call =
        (error as NodeJS.ErrnoException).syscall === 'write'
          ? `write_fd(${fileName}): write_fd error`
          : `write_file(${fileName}): failed to open file`;
      throw new CephExit(
        1,
        `bufferlist::${call}: ${errorWords(error)}\ncould not write ${fileName}\n`,
      );
    } finally {
      bytes.fill(0);
    }
  }

  wipe(): void {
    this.#keyring.wipe();
  }

  #addKey(text: string): void {
    const key = (() => {
      try {
        return decodeKeyText(text, this.#on.release);
      } catch {
        throw new CephExit(1, `can't decode key '${text}'\n`);
      }
    })();
    this.#keyring.add(this.#name, { key, caps: new Map() });
    this.#on.io.out(`added entity ${formatEntityName(this.#name)} auth(key=${key.toBase64()})\n`);
  }

  #read(fileName: string): KeyRing {
    let bytes: Uint8Array;
    try {
      bytes = readFileBytes(this.#path(fileName));
    } catch (error) {
      const words = errorWords(error);
      throw new CephExit(
        1,
        (error as NodeJS.ErrnoException).code === 'EISDIR'
          ? `can't open ${fileName}: bufferlist::read_file(${fileName}): read error:${words}\n`
          : `can't open ${fileName}: can't open ${fileName}: ${words}\n`,
      );
    }
    try {
      return KeyRing.parse(bytes, this.#on.release);
    } catch (error) {
      if (!(error instanceof KeyRingError)) throw error;
      throw new CephExit(1, `error reading file ${fileName}\n`);
    } finally {
      bytes.fill(0);
    }
  }

  /** Caps of section `global` of a caps file; other sections and names mean nothing. */
  #readCaps(fileName: string): ReadonlyMap<string, string> {
    const failed = (words: string): never => {
      throw new CephExit(1, `${words}could not parse caps file ${fileName}\n`);
    };
    let bytes: Uint8Array;
    try {
      bytes = readFileBytes(this.#path(fileName));
    } catch (error) {
      const words = errorWords(error).replace(/^\([0-9]+\) /, '');
      return failed(`parse_file: filesystem error: cannot get file size: ${words} [${fileName}]`);
    }
    const caps = new Map<string, string>();
    try {
      const values = parseConfFile(bytes).get('global');
      for (const service of ['mon', 'osd', 'mds', 'mgr']) {
        const text = values?.get(service);
        if (text !== undefined) caps.set(service, text);
      }
    } catch (error) {
      if (!(error instanceof ConfFileError)) throw error;
      // Ceph: this one complaint ends without a line end.
      failed(error.words.includes('expected') ? `${error.words}\n` : error.words);
    }
    return caps;
  }

  #path(fileName: string): string {
    // Not `resolve`, which would turn the name of a directory ("d/") into that of a file.
    return isAbsolute(fileName) ? fileName : join(this.#on.io.cwd ?? process.cwd(), fileName);
  }
}

function newKey(asked: AuthtoolArgs): CryptoKey {
  const created = utimeFromNs(BigInt(Date.now()) * 1_000_000n);
  if (asked.keyType === 'none') return new CryptoKey(0, created, new Uint8Array(0));
  return CryptoKey.create(asked.keyType, created, (n) => getRandomValues(new Uint8Array(n)));
}

function versionText(release: Release): string {
  return release === 16
    ? 'ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)\n'
    : `cephgate ${VERSION}, as ceph-authtool of Ceph 20\n`;
}

/** CEPH_ENTITY_TYPE_CLIENT. */
const ADMIN_TYPE = ENTITY_TYPES.client!;
