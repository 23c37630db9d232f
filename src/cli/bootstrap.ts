/**
 * The first start on an empty store (Ceph: what mkfs of a monitor does): `mon.`, the rescue
 * identity in a file of its own, and `client.admin`, who may do everything.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AuthDb } from '../auth/entities.ts';
import { CryptoKey, type Random } from '../cephx/cryptokey.ts';
import { utimeFromNs } from '../cephx/denc.ts';
import { type EntityName, parseEntityName } from '../cephx/protocol.ts';
import { exists, readPrivateFile, writePrivateFile } from '../http/files.ts';
import { KeyRing, type KeyRingEntity } from '../keyring/keyring.ts';
import type { Release } from '../keyring/keytext.ts';
import type { Store } from '../store/store.ts';

export interface BootstrapOptions {
  readonly store: Store;
  /** Where the two keyrings are. */
  readonly data: string;
  readonly release: Release;
  readonly nowNs: bigint;
  readonly random: Random;
}

export interface Bootstrapped {
  readonly monKeyring: KeyRingEntity;
  /** The keyring of client.admin, if this start made the entity. */
  readonly adminKeyring: string | undefined;
}

/**
 * Makes what is missing. Files come before the store, so that a start after a crash finds the key
 * that was going to be put there. Throws FileError, KeyRingError, StoreError.
 */
export async function bootstrap(options: BootstrapOptions): Promise<Bootstrapped> {
  const { store, data } = options;
  const monKeyring = readOrMake(join(data, MON_KEYRING), MON, MON_CAPS, options);
  const db = new AuthDb(store, undefined);
  try {
    if (!(await db.isEmpty())) return { monKeyring, adminKeyring: undefined };
    const path = join(data, ADMIN_KEYRING);
    const existed = exists(path);
    const admin = readOrMake(path, ADMIN, ADMIN_CAPS, options);
    db.keep(admin.key);
    let isOurs = true;
    await db.change(ADMIN, (present) => {
      isOurs = present === undefined || present.key.toBase64() === admin.key.toBase64();
      return present === undefined ? { entity: admin } : undefined;
    });
    if (isOurs) return { monKeyring, adminKeyring: path };
    // Another instance on the store was faster: our key opens nothing.
    if (!existed) rmSync(path, { force: true });
    return { monKeyring, adminKeyring: undefined };
  } finally {
    db.wipe();
  }
}

function readOrMake(
  path: string,
  name: EntityName,
  caps: readonly string[],
  { release, nowNs, random }: BootstrapOptions,
): KeyRingEntity {
  if (exists(path)) {
    const bytes = new TextEncoder().encode(readPrivateFile(path));
    const held = KeyRing.parse(bytes, release).get(name);
    bytes.fill(0);
    if (held !== undefined) return held;
  }
  const type = release === 16 ? 'aes' : 'aes256k';
  const key = CryptoKey.create(type, utimeFromNs(nowNs), random);
  const entity = { key, caps: new Map(caps.map((service) => [service, 'allow *'])) };
  const keyring = new KeyRing();
  keyring.add(name, entity);
  writePrivateFile(path, keyring.format());
  return entity;
}

export const MON_KEYRING = 'mon.keyring';
/** As a client looks for it, in /etc/ceph. */
export const ADMIN_KEYRING = 'ceph.client.admin.keyring';
const MON = parseEntityName('mon.')!;
const MON_CAPS = ['mon'];
const ADMIN = parseEntityName('client.admin')!;
const ADMIN_CAPS = ['mds', 'mgr', 'mon', 'osd'];
