/**
 * Tickets sealed and opened: the blob that a service opens, the reply that brings it to a client,
 * and the other things that travel under an AUTH session key or a daemon's key (Ceph:
 * CephxProtocol.cc, CephxServiceHandler.cc, CephxClientHandler.cc; spec sections 6, 8, 10, 14).
 *
 * Every function that opens throws DecodeError with the name of the check that failed.
 */

import {
  USAGE_AUTH_CONNECTION_SECRET,
  USAGE_ROTATING_SECRET,
  USAGE_TICKET_BLOB,
  USAGE_TICKET_INFO,
  USAGE_TICKET_SESSION_KEY,
} from '../../assembly/abi.ts';
import { CryptoKey, openDecoded, type Random, type Sealer, sealEncoded } from './cryptokey.ts';
import { decode, encode, type Reader, type Utime, type Writer } from './denc.ts';
import {
  decodeRotatingSecrets,
  decodeServiceTicket,
  decodeServiceTicketInfo,
  decodeServiceTicketReply,
  decodeTicketBlob,
  encodeRotatingSecrets,
  encodeServiceTicket,
  encodeServiceTicketInfo,
  encodeServiceTicketReply,
  encodeTicketBlob,
  type RotatingSecrets,
  type ServiceTicketInfo,
  type TicketBlob,
} from './protocol.ts';

/** A ticket as its owner holds it: the session key in the clear, the blob for the service. */
export interface ServiceTicketGrant {
  readonly serviceId: number;
  readonly sessionKey: CryptoKey;
  /** How long the ticket may be used from now on. */
  readonly validity: Utime;
  readonly blob: TicketBlob;
}

/** Seals a ticket for the service whose secret is given. Monitor's side. */
export function sealServiceTicket(
  sealer: Sealer,
  secret: CryptoKey,
  secretId: bigint,
  info: ServiceTicketInfo,
  random: Random,
): TicketBlob {
  const options = { prefixed: false, random };
  const usage = USAGE_TICKET_INFO;
  const blob = sealEncoded(sealer, secret, usage, info, options, encodeServiceTicketInfo);
  return { secretId, blob };
}

/**
 * Opens the sealed bytes of a ticket blob with the secret that its secret_id names. What a ticket
 * sealed under `aes` says may have been altered (CVE-2025-30156): judging it is the engine's work.
 */
export function openServiceTicket(
  sealer: Sealer,
  secret: CryptoKey,
  blob: Uint8Array,
): ServiceTicketInfo {
  return openDecoded(sealer, secret, USAGE_TICKET_INFO, blob, PLAIN, decodeServiceTicketInfo);
}

/**
 * Builds a CephXServiceTicketReply. Session keys are sealed with `principalKey`: the client's key
 * for the AUTH ticket, the AUTH session key for others. With `oldSessionKey` (a reclaimed
 * global_id) the blobs are sealed too, with the session key of the old AUTH ticket.
 */
export function sealTicketReply(
  sealer: Sealer,
  principalKey: CryptoKey,
  grants: readonly ServiceTicketGrant[],
  random: Random,
  oldSessionKey?: CryptoKey,
): Uint8Array {
  const plain = { prefixed: false, random };
  const entries = grants.map((grant) => {
    const usage = USAGE_TICKET_SESSION_KEY;
    const blob = encode(encodeTicketBlob, grant.blob);
    return {
      serviceId: grant.serviceId,
      sealedTicket: sealEncoded(sealer, principalKey, usage, grant, plain, encodeServiceTicket),
      blobSealed: oldSessionKey !== undefined,
      payload:
        oldSessionKey === undefined
          ? blob
          : sealEncoded(sealer, oldSessionKey, USAGE_TICKET_BLOB, blob, plain, encodeBl),
    };
  });
  return encode(encodeServiceTicketReply, entries);
}

/**
 * Reads a CephXServiceTicketReply and opens what is in it; leaves the reader behind it (a login
 * reply goes on). `oldSessionKey` is the session key of the AUTH ticket that was sent along, if
 * any; without it a sealed blob is `key.empty`.
 */
export function openTicketReply(
  sealer: Sealer,
  principalKey: CryptoKey,
  reader: Reader,
  oldSessionKey: CryptoKey = CryptoKey.none(),
): ServiceTicketGrant[] {
  return decodeServiceTicketReply(reader).map((entry) => {
    const { serviceId, sealedTicket, payload } = entry;
    const usage = USAGE_TICKET_SESSION_KEY;
    const ticket = openDecoded(
      sealer,
      principalKey,
      usage,
      sealedTicket,
      PLAIN,
      decodeServiceTicket,
    );
    const blob = entry.blobSealed
      ? openDecoded(sealer, oldSessionKey, USAGE_TICKET_BLOB, payload, PLAIN, decodeBl)
      : payload;
    return { serviceId, ...ticket, blob: decode(decodeTicketBlob, blob, 'ignore') };
  });
}

/** The `cbl` of a login reply: the connection secret (64 bytes, none in crc mode), sealed. */
export function sealConnectionSecret(
  sealer: Sealer,
  authSessionKey: CryptoKey,
  connectionSecret: Uint8Array,
  random: Random,
): Uint8Array {
  const options = { prefixed: true, random };
  const usage = USAGE_AUTH_CONNECTION_SECRET;
  return sealEncoded(sealer, authSessionKey, usage, connectionSecret, options, encodeBl);
}

export function openConnectionSecret(
  sealer: Sealer,
  authSessionKey: CryptoKey,
  cbl: Uint8Array,
): Uint8Array {
  const usage = USAGE_AUTH_CONNECTION_SECRET;
  return openDecoded(sealer, authSessionKey, usage, cbl, PREFIXED, decodeBl);
}

/** The answer to GET_ROTATING_KEY, sealed with the daemon's own key. */
export function sealRotatingSecrets(
  sealer: Sealer,
  daemonKey: CryptoKey,
  rotating: RotatingSecrets,
  random: Random,
): Uint8Array {
  const options = { prefixed: true, random };
  const usage = USAGE_ROTATING_SECRET;
  return sealEncoded(sealer, daemonKey, usage, rotating, options, encodeRotatingSecrets);
}

export function openRotatingSecrets(
  sealer: Sealer,
  daemonKey: CryptoKey,
  sealed: Uint8Array,
): RotatingSecrets {
  const usage = USAGE_ROTATING_SECRET;
  return openDecoded(sealer, daemonKey, usage, sealed, PREFIXED, decodeRotatingSecrets);
}

function encodeBl(out: Writer, bytes: Uint8Array): void {
  out.bl(bytes);
}

function decodeBl(reader: Reader): Uint8Array {
  return reader.bl().slice();
}

const PLAIN = { prefixed: false };
const PREFIXED = { prefixed: true };
