/**
 * Which key types may be used for what: auth_allowed_ciphers, auth_preferred_cipher,
 * auth_service_cipher, and the health codes that go with them (Ceph: MonMap version 10,
 * AuthMonitor health; spec section 16).
 */

import type { CipherRecord } from '../store/records.ts';
import { CIPHERS } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { changeRecord, readRecord } from './storecalls.ts';

/** A key type that can seal. */
export type Cipher = 'aes' | 'aes256k';

/** What is fixed outside the store: options of this process. */
export interface CipherOptions {
  /** mon_auth_allow_insecure_key; undefined follows the allowed list. */
  readonly allowInsecureKey?: boolean | undefined;
  /** mon_auth_emergency_allowed_ciphers: added to the allowed list at login. */
  readonly emergencyAllowed?: readonly Cipher[] | undefined;
}

/** The settings of a new store. Ceph: a cluster bootstrapped with 19.2.6 allows aes256k only. */
export const DEFAULT_CIPHERS: CipherRecord = {
  allowed: ['aes256k'],
  preferred: 'aes256k',
  service: 'aes256k',
};

/** The settings as they are stored now. Throws StoreError. */
export async function readCiphers(store: Store): Promise<CipherRecord> {
  return (await readRecord(store, CIPHERS, undefined)).record ?? DEFAULT_CIPHERS;
}

/** Whether an entity with a key of this type may log in. */
export function mayLogIn(
  ciphers: CipherRecord,
  options: CipherOptions,
  type: string | undefined,
): boolean {
  const list: readonly (string | undefined)[] = [
    ...ciphers.allowed,
    ...(options.emergencyAllowed ?? []),
  ];
  return list.includes(type);
}

/** Whether a key of this type may be created. */
export function mayCreate(ciphers: CipherRecord, options: CipherOptions, type: Cipher): boolean {
  if (type === 'aes') return options.allowInsecureKey ?? ciphers.allowed.includes('aes');
  return ciphers.allowed.includes(type);
}

export type CipherSetting =
  | 'auth_allowed_ciphers'
  | 'auth_preferred_cipher'
  | 'auth_service_cipher';

/**
 * The settings with one changed, from the text an operator gives: names of key types, separated by
 * comma or space. The same object if the value is the present one. Throws RangeError for a text
 * that names no key type, or several where there is one.
 */
export function withCipher(
  ciphers: CipherRecord,
  setting: CipherSetting,
  text: string,
): CipherRecord {
  const names = text.split(/[\s,]+/).filter((name) => name !== '');
  const unknown = names.find((name) => name !== 'aes' && name !== 'aes256k');
  if (unknown !== undefined) throw new RangeError(`unknown key type: "${unknown}"`);
  if (setting === 'auth_allowed_ciphers') {
    if (names.length === 0) throw new RangeError(`cannot set ${setting}: no key type is named`);
    // In the order of their numbers, as the monitor map keeps them.
    const allowed = CIPHER_NAMES.filter((name) => names.includes(name));
    const same = allowed.join() === ciphers.allowed.join();
    return same ? ciphers : { ...ciphers, allowed };
  }
  if (names.length !== 1) {
    throw new RangeError(`cannot set ${setting}: ${names.length} key types are named, expected 1`);
  }
  const field = setting === 'auth_preferred_cipher' ? 'preferred' : 'service';
  return ciphers[field] === names[0] ? ciphers : { ...ciphers, [field]: names[0]! };
}

/** Changes a setting in the store; false if it had that value. Throws RangeError, StoreError. */
export async function setCipher(
  store: Store,
  setting: CipherSetting,
  text: string,
): Promise<boolean> {
  let changed = false;
  await changeRecord(store, CIPHERS, undefined, (present) => {
    const before = present ?? DEFAULT_CIPHERS;
    const after = withCipher(before, setting, text);
    changed = after !== before;
    return changed ? { record: after } : undefined;
  });
  return changed;
}

/** What health looks at. Names as `osd.3`; types as `aes`. */
export interface HealthInput {
  readonly ciphers: CipherRecord;
  readonly options: CipherOptions;
  readonly entities: Iterable<{ readonly entity: string; readonly keyType: string | undefined }>;
  readonly rotating: Iterable<{
    readonly service: string;
    readonly secretId: bigint;
    readonly keyType: string | undefined;
  }>;
}

export interface HealthCheck {
  readonly code: string;
  readonly level: 'error' | 'warning';
  readonly summary: string;
  /** One line for each thing that is wrong. */
  readonly detail: readonly string[];
}

/** The health codes that are raised; empty when all is well. */
export function health(input: HealthInput): HealthCheck[] {
  const { ciphers, options } = input;
  const weak = [...input.entities].filter(({ keyType }) => keyType === 'aes');
  const isClient = ({ entity }: { entity: string }): boolean => entity.startsWith('client.');
  const daemons = weak.filter((each) => !isClient(each)).map(keyLine);
  const clients = weak.filter(isClient).map(keyLine);
  const secrets = [...input.rotating].filter(({ keyType }) => keyType === 'aes');
  const emergency = options.emergencyAllowed ?? [];
  const checks: (HealthCheck | false)[] = [
    ciphers.service !== 'aes256k' && {
      code: 'AUTH_INSECURE_SERVICE_TICKETS',
      level: 'error',
      summary: 'service tickets are sealed with an insecure cipher',
      detail: [`auth_service_cipher is ${ciphers.service}`],
    },
    daemons.length > 0 && {
      code: 'AUTH_INSECURE_SERVICE_KEY_TYPE',
      level: 'error',
      summary: `${counted(daemons.length, 'daemon')} an insecure key type`,
      detail: daemons,
    },
    secrets.length > 0 && {
      code: 'AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE',
      level: 'warning',
      summary: `${counted(secrets.length, 'rotating secret')} an insecure key type`,
      detail: secrets.map(({ service, secretId }) => `${service} secret ${secretId} is aes`),
    },
    clients.length > 0 && {
      code: 'AUTH_INSECURE_CLIENT_KEY_TYPE',
      level: 'warning',
      summary: `${counted(clients.length, 'client')} an insecure key type`,
      detail: clients,
    },
    ciphers.allowed.includes('aes') && {
      code: 'AUTH_INSECURE_KEYS_ALLOWED',
      level: 'warning',
      summary: 'insecure key types may log in',
      detail: [`auth_allowed_ciphers is ${ciphers.allowed.join(',')}`],
    },
    mayCreate(ciphers, options, 'aes') && {
      code: 'AUTH_INSECURE_KEYS_CREATABLE',
      level: 'warning',
      summary: 'keys of an insecure type may be created',
      detail: ['mon_auth_allow_insecure_key is in effect'],
    },
    emergency.length > 0 && {
      code: 'AUTH_EMERGENCY_CIPHERS_SET',
      level: 'warning',
      summary: 'the emergency list of ciphers is set',
      detail: [`mon_auth_emergency_allowed_ciphers is ${emergency.join(',')}`],
    },
  ];
  return checks.filter((check) => check !== false);
}

function keyLine({ entity }: { entity: string }): string {
  return `${entity} has an aes key`;
}

function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what} has` : `${count} ${what}s have`;
}

const CIPHER_NAMES: readonly Cipher[] = ['aes', 'aes256k'];
