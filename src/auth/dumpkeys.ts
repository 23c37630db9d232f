/** dump-keys and wipe-rotating-service-keys: the whole key server, without a byte of a secret. */

import { CryptoKey } from '../cephx/cryptokey.ts';
import { Reader, type Utime, utimeFromNs } from '../cephx/denc.ts';
import { ENTITY_TYPES, type EntityName, entityTypeName } from '../cephx/protocol.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { ROTATING, type RotatingRecord } from '../store/records.ts';
import { type Cipher, readCiphers } from './cipherpolicy.ts';
import { type Call, type CommandReply, done, EINVAL, Refusal } from './command.ts';
import { TEXTS } from './commandtexts.ts';
import { type ArrayNode, formatNode, type Node, type ObjectNode } from './format.ts';
import { DEFAULT_TTLS, ROTATING_SERVICES, WIPED_SERVICES } from './keyserver.ts';
import { newKey } from './keytypes.ts';
import { rotated } from './rotation.ts';
import { changeRecord, readRecord } from './storecalls.ts';

export async function dumpKeys(call: Call): Promise<CommandReply> {
  if (call.format === undefined) throw new Refusal(EINVAL, TEXTS.notPlain);
  const { store } = call.deps;
  const rings: Node[] = [];
  let rotatingVersion = 0n;
  for (const service of ROTATING_SERVICES) {
    const { record } = await readRecord(store, ROTATING, service);
    if (record === undefined) continue;
    rings.push(ringNode(service, record));
    if (record.secretIdMax > rotatingVersion) rotatingVersion = record.secretIdMax;
  }
  const version = Number(await call.db.snapshot());
  const secrets = (await call.db.list()).map(({ name, entity }) =>
    object({ entity: nameNode(name), auth: authNode(entity) }),
  );
  const data = object({
    version,
    rotating_version: Number(rotatingVersion),
    secrets: array('secret', secrets),
  });
  const node = object({ data, rotating_secrets: array('rotating_secret', rings) });
  return done('', formatNode('keys', node, call.format));
}

/** The secrets of AUTH are kept: tickets for it outlive a wipe. */
export async function wipeRotatingServiceKeys(call: Call): Promise<CommandReply> {
  const { deps } = call;
  if (deps.wipeRotating !== undefined) await deps.wipeRotating();
  else {
    const type = (await readCiphers(deps.store)).service as Cipher;
    for (const service of WIPED_SERVICES) {
      await changeRecord(deps.store, ROTATING, service, (ring) => {
        const empty = { secretIdMax: ring?.secretIdMax ?? 0n, secrets: [] };
        const { authServiceTicketTtlNs } = DEFAULT_TTLS;
        const makeKey = () => newKey(call, type).encode();
        return { record: rotated(empty, deps.clock(), authServiceTicketTtlNs, makeKey) };
      });
    }
  }
  return done(TEXTS.wiped);
}

function authNode({ key, pendingKey, caps }: KeyRingEntity): ObjectNode {
  const items = [...caps].map(([service, text]) =>
    object({ service_name: service, access_spec: encodedText(text) }),
  );
  return object({
    key: keyNode(key),
    pending_key: keyNode(pendingKey ?? CryptoKey.none()),
    caps: array('cap', items),
  });
}

function ringNode(service: string, ring: RotatingRecord): ObjectNode {
  const keys = ring.secrets.map(({ secretId, key: bytes, expiresNs }) => {
    const key = CryptoKey.decode(new Reader(bytes));
    bytes.fill(0);
    const shown = keyNode(key);
    key.wipe();
    const expiration = timeText(utimeFromNs(expiresNs));
    return object({ id: Number(secretId), expiring_key: object({ key: shown, expiration }) });
  });
  const secrets = object({ max_ver: Number(ring.secretIdMax), keys: array('key', keys) });
  return object({ entity: nameNode({ type: ENTITY_TYPES[service]!, id: '' }), secrets });
}

function nameNode({ type, id }: EntityName): ObjectNode {
  return object({ type, type_str: entityTypeName(type) ?? '???', id });
}

function keyNode(key: CryptoKey): ObjectNode {
  const created = timeText(key.created);
  return object({ type: key.type, type_str: key.typeName ?? '???', created });
}

/** Ceph: caps are kept encoded, and shown so: four bytes of length stand before the text. */
function encodedText(text: string): string {
  const { length } = new TextEncoder().encode(text);
  const bytes = [0, 8, 16, 24].map((shift) => (length >>> shift) & 0xff);
  return String.fromCharCode(...bytes) + text;
}

/** Ceph: utime_t prints what is less than ten years as a number. */
function timeText({ seconds, nanoseconds }: Utime): string {
  const micros = String(Math.floor(nanoseconds / 1000)).padStart(6, '0');
  if (seconds < TEN_YEARS_S) return `${seconds}.${micros}`;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${micros}+0000`;
}

function object(members: Readonly<Record<string, Node>>): ObjectNode {
  return { members: Object.entries(members) };
}

function array(item: string, items: readonly Node[]): ArrayNode {
  return { item, items };
}

const TEN_YEARS_S = 315_360_000;
