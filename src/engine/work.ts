/**
 * The work block: exports of the core that take one key or subject at a time.
 * Key bytes are wiped from the block after every call.
 */

import * as abi from '../../assembly/abi.ts';
import { CHECK_NAMES } from './codes.ts';
import type { ServiceId, ServiceSecret } from './types.ts';
import type { CoreExports } from './wasm.ts';

/** How an object is wrapped when it is sealed. */
export interface SealForm {
  /** 16 random bytes; drawn when not given. Unused by key type aes. */
  readonly confounder?: Uint8Array;
  /** Put the envelope (struct_v 1, magic) around the object. */
  readonly envelope?: boolean;
  /** Put a u32 length before the ciphertext. */
  readonly prefixed?: boolean;
}

export type RevokeOp = 'deny' | 'lift' | 'not_before' | 'clear';
export type RevokeSubject =
  | { readonly entity: { readonly type: number; readonly id: string } }
  | { readonly globalId: bigint }
  | { readonly service: ServiceId }
  | 'all';

const OPS: Readonly<Record<RevokeOp, number>> = {
  deny: abi.REVOKE_DENY,
  lift: abi.REVOKE_LIFT,
  not_before: abi.REVOKE_NOT_BEFORE,
  clear: abi.REVOKE_CLEAR,
};
const TAGS = { ke: abi.DERIVE_KE, ki: abi.DERIVE_KI, kc: abi.DERIVE_KC } as const;

export class WorkBlock {
  readonly #core: CoreExports;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(core: CoreExports, at: number) {
    this.#core = core;
    this.#bytes = new Uint8Array(core.memory.buffer, at, abi.WORK_LEN);
    this.#view = new DataView(core.memory.buffer, at, abi.WORK_LEN);
  }

  putSecret(secret: ServiceSecret): void {
    const id = BigInt.asUintN(64, secret.secretId);
    this.#putKey('key', secret.key);
    this.#view.setUint32(abi.PUT_SERVICE, secret.service, true);
    this.#view.setBigUint64(abi.PUT_SECRET_ID, id, true);
    this.#view.setBigUint64(abi.PUT_EXPIRES, secret.expiresNs ?? 0n, true);
    const check = this.#core.secret_put(secret.key.length);
    if (check === abi.CHECK_OK) return;
    const why =
      check === abi.CHECK_LIMIT
        ? `at most ${abi.SECRETS_PER_SERVICE_MAX} secrets are kept for a service`
        : check === abi.CHECK_RECORD_FIELD
          ? 'tickets are not made for this service'
          : `the key does not decode (${CHECK_NAMES[check]})`;
    throw new RangeError(
      `Cannot put the secret with id ${id} of service ${secret.service}: ${why}`,
    );
  }

  revoke(op: RevokeOp, subject: RevokeSubject, timeNs: bigint): void {
    const view = this.#view;
    let idLen = 0;
    let value = 0n;
    let kind: number = abi.SUBJECT_ALL;
    if (subject !== 'all') {
      if ('entity' in subject) {
        kind = abi.SUBJECT_ENTITY;
        const id = new TextEncoder().encode(subject.entity.id);
        this.#putKey('entity', id);
        idLen = id.length;
        view.setUint32(abi.REVOKE_ENTITY_TYPE, subject.entity.type, true);
      } else if ('globalId' in subject) {
        kind = abi.SUBJECT_GLOBAL_ID;
        value = subject.globalId;
      } else {
        kind = abi.SUBJECT_SERVICE;
        value = BigInt(subject.service);
      }
    }
    view.setUint32(abi.REVOKE_OP, OPS[op], true);
    view.setUint32(abi.REVOKE_SUBJECT, kind, true);
    view.setBigUint64(abi.REVOKE_VALUE, BigInt.asUintN(64, value), true);
    view.setBigUint64(abi.REVOKE_TIME, BigInt.asUintN(64, timeNs), true);
    const check = this.#core.revoke(idLen);
    if (check === abi.CHECK_OK) return;
    const why = check === abi.CHECK_LIMIT ? 'the table is full or the id too long' : 'no such rule';
    throw new RangeError(`Cannot apply the revocation "${op}": ${why}`);
  }

  seal(
    key: Uint8Array,
    usage: number,
    plaintext: Uint8Array,
    form: SealForm,
    random: (into: Uint8Array) => void,
  ): Uint8Array {
    this.#putKey('key', key);
    this.#putData('plaintext', plaintext, abi.WORK_DATA_LEN - 64);
    const iv = this.#bytes.subarray(abi.WORK_IV, abi.WORK_IV + 16);
    if (form.confounder === undefined) random(iv);
    else this.#putIv('confounder', form.confounder);
    return this.#result(
      'seal',
      this.#core.seal(key.length, usage, plaintext.length, formBits(form)),
    );
  }

  open(key: Uint8Array, usage: number, sealed: Uint8Array, form: SealForm): Uint8Array | undefined {
    this.#putKey('key', key);
    this.#putData('sealed', sealed, abi.WORK_DATA_LEN);
    const length = this.#core.open(key.length, usage, sealed.length, formBits(form));
    if (length === -2 || length === -3) {
      this.#core.work_wipe();
      return undefined;
    }
    return this.#result('open', length);
  }

  derive(key: Uint8Array, usage: number, which: 'ke' | 'ki' | 'kc'): Uint8Array {
    this.#putKey('key', key);
    const length = this.#core.derive(key.length, usage, TAGS[which]);
    return this.#result('derive from', length, abi.WORK_OUT);
  }

  challengeHash(key: Uint8Array, server: bigint, client: bigint): bigint {
    this.#putKey('key', key);
    this.#view.setBigUint64(abi.WORK_DATA, BigInt.asUintN(64, server), true);
    this.#view.setBigUint64(abi.WORK_DATA + 8, BigInt.asUintN(64, client), true);
    const length = this.#core.challenge_hash(key.length);
    const hash = this.#view.getBigUint64(abi.WORK_OUT, true);
    this.#result('prove', length, abi.WORK_OUT);
    return hash;
  }

  primitive(
    op: number,
    key: Uint8Array,
    data: Uint8Array,
    iv?: Uint8Array,
    into?: Uint8Array,
  ): Uint8Array {
    this.#putKey('key', key);
    this.#putData('data', data, abi.WORK_DATA_LEN);
    if (iv !== undefined) this.#putIv('iv', iv);
    const length = this.#core.primitive(op, key.length, data.length);
    if (length < 0) return this.#result('compute', length);
    const end = abi.WORK_RESULT + length;
    const bytes = this.#bytes.subarray(abi.WORK_RESULT, end);
    const fits = into === undefined || into.length >= length;
    const result = into === undefined ? bytes.slice() : into.subarray(0, length);
    if (into !== undefined && fits) into.set(bytes);
    // What was left alone needs no wiping: all of the block takes 2 us.
    this.#bytes.fill(0, abi.WORK_KEY, abi.WORK_KEY + key.length);
    this.#bytes.fill(0, abi.WORK_IV, abi.WORK_DATA + data.length);
    this.#bytes.fill(0, abi.WORK_RESULT, end);
    if (fits) return result;
    throw new RangeError(`Cannot put ${length} bytes into ${into.length}`);
  }

  #putKey(name: string, key: Uint8Array): void {
    if (key.length > abi.WORK_KEY_LEN) {
      throw new RangeError(
        `Cannot take "${name}": expected at most ${abi.WORK_KEY_LEN} bytes, got ${key.length}`,
      );
    }
    this.#bytes.set(key, abi.WORK_KEY);
  }

  #putData(name: string, data: Uint8Array, max: number): void {
    if (data.length > max) {
      throw new RangeError(
        `Cannot take "${name}": expected at most ${max} bytes, got ${data.length}`,
      );
    }
    this.#bytes.set(data, abi.WORK_DATA);
  }

  #putIv(name: string, iv: Uint8Array): void {
    if (iv.length !== 16) {
      throw new RangeError(`Cannot take "${name}": expected 16 bytes, got ${iv.length}`);
    }
    this.#bytes.set(iv, abi.WORK_IV);
  }

  #result(action: string, length: number, at: number = abi.WORK_RESULT): Uint8Array {
    const result = length < 0 ? undefined : this.#bytes.slice(at, at + length);
    this.#core.work_wipe();
    if (result !== undefined) return result;
    throw new RangeError(
      `Cannot ${action} with this key: ${length === -1 ? 'it is unusable' : 'the length is wrong'}`,
    );
  }
}

function formBits(form: SealForm): number {
  return (form.envelope ? abi.SEAL_ENVELOPE : 0) | (form.prefixed ? abi.SEAL_PREFIXED : 0);
}
