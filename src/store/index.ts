/** The store: contract, implementations and records. */

export { type CopyOptions, copyStore, type Digest, digestStore } from './copy.ts';
export type { EtcdAccess } from './etcd/open.ts';
export { type Envelope, plaintextEnvelope, sealedEnvelope } from './etcd/seal.ts';
export { MemoryStore } from './memory.ts';
export { openStore } from './open.ts';
export {
  CIPHERS,
  type CipherRecord,
  ENTITIES,
  type EntityRecord,
  GLOBAL_ID,
  type GlobalIdRecord,
  IMPORT,
  type ImportRecord,
  REVOCATIONS,
  type RecordKind,
  type RevocationId,
  type RevocationRecord,
  type RevocationTarget,
  ROTATING,
  type RotatingRecord,
  type RotatingSecret,
  STAGED,
  type StagedId,
} from './records.ts';
export { openSqliteStore, type SqliteOptions } from './sqlite.ts';
export type * from './store.ts';
export {
  KEY_LEN_MAX,
  LEASE_NAME_LEN_MAX,
  LEASE_NOTE_LEN_MAX,
  LEASE_TTL_MAX_MS,
  PAGE_ENTRIES_MAX,
  REQUEST_ID_LEN,
  REQUESTS_KEPT,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
} from './store.ts';
export { transaction } from './transaction.ts';
