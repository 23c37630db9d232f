/**
 * `cephgate-exchange` (interface section 4): what stands in for the connection between hello and
 * 0x0100. A MAC token of name, global_id, server challenge, time and instance; good for 30 s, spent
 * on first use at its instance. Nothing in it is secret.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { decodeBase64, encodeBase64 } from '../cephx/cryptokey.ts';
import { DecodeError, equalBytes, Reader, Writer } from '../cephx/denc.ts';
import { decodeEntityName, type EntityName, encodeEntityName } from '../cephx/protocol.ts';

/** Keys of the MAC: the previous one still checks, only the current one makes. */
export interface ExchangeKeys {
  readonly current: Uint8Array;
  readonly previous: Uint8Array | undefined;
}

/** A login between its two messages. */
export interface Exchange {
  readonly name: EntityName;
  /** 0n: a new one is wanted. */
  readonly globalId: bigint;
  /** Not 0n. */
  readonly serverChallenge: bigint;
}

/** The exchanges of one instance of the server. */
export class Exchanges {
  readonly #keys: ExchangeKeys;
  readonly #instance: Uint8Array;
  readonly #spentMax: number;
  /** Instance and serial of the token -> its serial and when it was made, oldest spending first. */
  readonly #spent = new Map<string, { own: boolean; serial: bigint; issuedNs: bigint }>();
  #serial = 0n;
  #sweptSerial = 0n;

  /**
   * @param instance EXCHANGE_INSTANCE_LEN random bytes, the name of this process
   * @param spentMax spent tokens remembered; more within 30 s are refused
   */
  constructor(keys: ExchangeKeys, instance: Uint8Array, spentMax = 262_144) {
    if (instance.length !== EXCHANGE_INSTANCE_LEN) {
      throw new RangeError(`"instance" has ${instance.length} bytes: expected 16`);
    }
    this.#keys = keys;
    this.#instance = instance;
    this.#spentMax = spentMax;
  }

  /** The token of a new exchange, in base64. */
  make(exchange: Exchange, nowNs: bigint): string {
    this.#serial += 1n;
    const out = new Writer().u8(TOKEN_VERSION).bytes(this.#instance).u64(this.#serial).u64(nowNs);
    out.u64(exchange.globalId).u64(exchange.serverChallenge);
    encodeEntityName(out, exchange.name);
    const body = out.finish();
    return encodeBase64(new Writer().bytes(body).bytes(mac(this.#keys.current, body)).finish());
  }

  /** The exchange of a token, which is spent by this; undefined if it is not good (any more). */
  take(token: string, nowNs: bigint): Exchange | undefined {
    const body = this.#checked(token);
    if (body === undefined) return undefined;
    const reader = new Reader(body);
    if (reader.u8() !== TOKEN_VERSION) return undefined;
    const instance = reader.bytes(EXCHANGE_INSTANCE_LEN);
    const serial = reader.u64();
    const issuedNs = reader.u64();
    if (!this.#spend(instance, serial, issuedNs, nowNs)) return undefined;
    const globalId = reader.u64();
    const serverChallenge = reader.u64();
    return { globalId, serverChallenge, name: decodeEntityName(reader) };
  }

  #checked(token: string): Uint8Array | undefined {
    let bytes: Uint8Array;
    try {
      bytes = decodeBase64(token);
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
    const bodyLen = bytes.length - MAC_LEN;
    if (bodyLen < 0) return undefined;
    const body = bytes.subarray(0, bodyLen);
    const given = bytes.subarray(bodyLen);
    const { current, previous } = this.#keys;
    const good = [current, previous].some((key) => key && equalBytes(given, mac(key, body)));
    return good ? body : undefined;
  }

  #spend(instance: Uint8Array, serial: bigint, issuedNs: bigint, nowNs: bigint): boolean {
    this.#sweep(nowNs);
    const ageNs = nowNs - issuedNs;
    // The clock of the instance that made it may be ahead of ours.
    if (ageNs < -EXCHANGE_LIFE_NS || ageNs > EXCHANGE_LIFE_NS) return false;
    const own = equalBytes(instance, this.#instance);
    // What was swept stays spent even if the clock is set back.
    if (own && serial <= this.#sweptSerial) return false;
    const id = `${instance.join('.')}/${serial}`;
    if (this.#spent.has(id) || this.#spent.size >= this.#spentMax) return false;
    this.#spent.set(id, { own, serial, issuedNs });
    return true;
  }

  #sweep(nowNs: bigint): void {
    for (const [id, entry] of this.#spent) {
      if (nowNs - entry.issuedNs <= EXCHANGE_LIFE_NS) return;
      this.#spent.delete(id);
      if (entry.own && entry.serial > this.#sweptSerial) this.#sweptSerial = entry.serial;
    }
  }
}

function mac(key: Uint8Array, body: Uint8Array): Uint8Array {
  return hmac(sha256, key, new Writer().string(LABEL).bytes(body).finish());
}

/** How long an exchange is good. */
export const EXCHANGE_LIFE_NS = 30_000_000_000n;
export const EXCHANGE_INSTANCE_LEN = 16;
const LABEL = 'cephgate exchange v1';
const TOKEN_VERSION = 1;
const MAC_LEN = 32;
