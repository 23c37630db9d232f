/**
 * What instances that share a store tell each other about rotation:
 *
 *   rotation/ready/SERVICE  the newest secret that every live instance knows
 *   rotation/ask/ID         somebody asks the leader for a turn
 *   note of the lease       how far an instance has come, and its clock
 *     instance/ID
 */

import { StoreError } from '../errors.ts';
import type { RecordKind } from '../store/records.ts';
import { ValueReader, ValueWriter } from '../store/value.ts';

/** What an instance notes on its lease. */
export interface InstanceNote {
  /** All rings as of this snapshot are in its engine. */
  readonly snapshot: bigint;
  /** Its clock when it wrote this, nanoseconds since 1970. */
  readonly clockNs: bigint;
}

/** The id is the service. */
export interface ReadyRecord {
  /** Secrets up to this one may seal. */
  readonly secretId: bigint;
}

/** The id is random. */
export interface AskRecord {
  readonly kind: 'rotate' | 'wipe';
  readonly services: readonly string[];
  /** What became of it: the asker deletes it then. */
  readonly state: 'asked' | 'done' | 'refused';
}

export const NOTES: Codec<InstanceNote> = codec({
  name: 'instance',
  write: (out, record) => void out.u64(record.snapshot).u64(record.clockNs),
  read: (reader) => ({ snapshot: reader.u64(), clockNs: reader.u64() }),
});

export const READY: RecordKind<string, ReadyRecord> = kind({
  name: 'ready',
  write: (out, record) => void out.u64(record.secretId),
  read: (reader) => ({ secretId: reader.u64() }),
});

export const ASKS: RecordKind<string, AskRecord> = kind({
  name: 'ask',
  write: (out, record) => {
    out.text(record.kind).text(record.state).count(record.services.length);
    for (const service of record.services) out.text(service);
  },
  read: (reader, fail) => {
    const [asked, state] = [reader.text(), reader.text()];
    if (asked !== 'rotate' && asked !== 'wipe') throw fail('its kind is not known');
    if (state !== 'asked' && state !== 'done' && state !== 'refused') {
      throw fail('its state is not known');
    }
    return { kind: asked, state, services: reader.list(() => reader.text()) };
  },
});

/** The keys of all records begin with it: of no meaning to instances that start later. */
export const INSTANCE_RECORDS: Uint8Array = new TextEncoder().encode('rotation/');

interface Parts<T> {
  readonly name: string;
  readonly write: (out: ValueWriter, record: T) => void;
  readonly read: (reader: ValueReader, fail: (why: string) => StoreError) => T;
}

type Codec<T> = Pick<RecordKind<string, T>, 'encode' | 'decode'>;

function kind<T>(parts: Parts<T>): RecordKind<string, T> {
  const prefix = `rotation/${parts.name}/`;
  const fail = failureOf(parts.name);
  return {
    ...codec(parts),
    prefix: new TextEncoder().encode(prefix),
    key: (id) => new TextEncoder().encode(prefix + id),
    id: (key) => {
      const text = new TextDecoder().decode(key);
      if (!text.startsWith(prefix)) throw fail(`no such key is known, "${text}"`);
      return text.slice(prefix.length);
    },
  };
}

function codec<T>({ name, write, read }: Parts<T>): Codec<T> {
  const fail = failureOf(name);
  return {
    encode: (record) => {
      const out = new ValueWriter(VERSION);
      write(out, record);
      return out.finish();
    },
    decode: (value) => {
      const reader = new ValueReader(value, fail);
      if (reader.version !== VERSION) {
        const present = `it has version ${reader.version}, this program knows ${VERSION}`;
        throw new StoreError('store.version', `cannot read ${name} of rotation: ${present}`);
      }
      const record = read(reader, fail);
      reader.end();
      return record;
    },
  };
}

function failureOf(name: string): (why: string) => StoreError {
  return (why) => new StoreError('store.content', `cannot read ${name} of rotation: ${why}`);
}

const VERSION = 1;
