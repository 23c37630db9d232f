/**
 * The secrets file, format `cephgate-secrets/1` (interface section 2):
 *
 *   { "format": "cephgate-secrets/1",
 *     "secrets": [ { "service": "osd", "secret_id": "2", "key": "<base64 CryptoKey>",
 *                    "expires": "2026-...Z" | null } ] }
 */

import { KEY_SECRET_LEN_MAX, SECRETS_PER_SERVICE_MAX } from '../../assembly/abi.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { DecodeError } from '../cephx/denc.ts';
import { ENTITY_TYPES } from '../cephx/protocol.ts';
import { FileError } from '../errors.ts';
import { type Field, list, object, oneOf, u64, wrongType, wrongValue } from './body.ts';
import { formatTime, parseTime } from './codec.ts';
import { readPrivateFile } from './files.ts';
import { Problem } from './problem.ts';

export interface Secret {
  readonly service: ServiceName;
  readonly secretId: bigint;
  readonly key: CryptoKey;
  /** Undefined where the file says null. */
  readonly expiresNs: bigint | undefined;
}

export type ServiceName = (typeof SERVICES)[number];

/** Reads a file of mode 0600. Throws FileError that names the entry and field, never a key. */
export function readSecretsFile(path: string): Secret[] {
  return parseSecrets(readPrivateFile(path), path);
}

export function parseSecrets(text: string, path: string): Secret[] {
  const wrong = (why: string): FileError =>
    new FileError('file.content', `cannot read "${path}": ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong('it is not JSON');
  }
  let secrets: readonly Secret[];
  try {
    secrets = readFile(value, '').secrets.map((each) => ({
      service: each.service,
      secretId: each.secret_id,
      key: each.key,
      expiresNs: each.expires,
    }));
  } catch (error) {
    if (error instanceof Problem) throw wrong(error.message);
    throw error;
  }
  const seen = new Map<string, number>();
  for (const { service, secretId } of secrets) {
    const id = `${service} ${secretId}`;
    if (seen.has(id)) throw wrong(`the secret ${id} is given twice`);
    seen.set(id, 1);
    const count = (seen.get(service) ?? 0) + 1;
    if (count > SECRETS_PER_SERVICE_MAX) {
      throw wrong(`more than ${SECRETS_PER_SERVICE_MAX} secrets for service ${service}`);
    }
    seen.set(service, count);
  }
  return [...secrets];
}

/** The text of such a file. It holds keys: write it with mode 0600. */
export function formatSecrets(secrets: readonly Secret[]): string {
  const document = {
    format: FORMAT,
    secrets: secrets.map((secret) => ({
      service: secret.service,
      secret_id: secret.secretId.toString(),
      key: secret.key.toBase64(),
      expires: secret.expiresNs === undefined ? null : formatTime(secret.expiresNs),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

const FORMAT = 'cephgate-secrets/1';
const SERVICES = ['osd', 'mds', 'mgr', 'mon', 'auth'] as const;
const SECRETS_MAX = SERVICES.length * SECRETS_PER_SERVICE_MAX;

const cryptoKey: Field<CryptoKey> = (value, at) => {
  if (typeof value !== 'string') throw wrongType(at, 'a CryptoKey in base64', value);
  let key: CryptoKey;
  try {
    key = CryptoKey.fromBase64(value);
  } catch (error) {
    const why = error instanceof DecodeError ? error.code : 'unreadable';
    throw wrongValue(at, 'a CryptoKey in base64', `the fault ${why}`);
  }
  if (!key.usable || key.secret.length > KEY_SECRET_LEN_MAX) {
    throw wrongValue(at, 'a key of type aes or aes256k', `a secret of ${key.secret.length} bytes`);
  }
  return key;
};

const expires: Field<bigint | undefined> = (value, at) => {
  if (value === null) return undefined;
  if (typeof value !== 'string') throw wrongType(at, 'a time or null', value);
  const ns = parseTime(value);
  if (ns === undefined) throw wrongValue(at, 'a time such as 2026-11-21T16:00:00Z, or null');
  return ns;
};

const readFile = object({
  format: oneOf([FORMAT]),
  secrets: list(
    object({ service: oneOf(SERVICES), secret_id: u64, key: cryptoKey, expires }),
    SECRETS_MAX,
  ),
});

/** Entity type of a service. */
export function serviceId(name: ServiceName): number {
  return ENTITY_TYPES[name]!;
}
