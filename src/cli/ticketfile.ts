/**
 * A ticket between two runs of `cephgate client authorizer`: the challenge of a service opens only
 * under the session key that the first run got. The file holds that key, so it is as private as a
 * keyring: mode 0600.
 */

import { dirname, join } from 'node:path';
import { sha256 } from '@noble/hashes/sha2.js';
import { CryptoKey, decodeBase64, encodeBase64 } from '../cephx/cryptokey.ts';
import { DecodeError } from '../cephx/denc.ts';
import { type EntityName, formatEntityName } from '../cephx/protocol.ts';
import type { HeldTicket } from '../cephx/ticketmanager.ts';
import { ConfigError, FileError } from '../errors.ts';
import { encodeHex, parseU64 } from '../http/codec.ts';
import { makePrivateDirectory, readPrivateFile, writePrivateFile } from '../http/files.ts';

/** A ticket with the global_id it belongs to. */
export interface KeptTicket {
  readonly ticket: HeldTicket;
  readonly globalId: bigint;
}

/** Where the ticket of a client for a service of a server is kept; undefined without a home. */
export function ticketFile(
  env: Readonly<Record<string, string | undefined>>,
  name: EntityName,
  server: string,
  service: string,
): string | undefined {
  const { XDG_CACHE_HOME: cache = '', HOME: home = '' } = env;
  const base = cache !== '' ? cache : home !== '' ? join(home, '.cache') : undefined;
  if (base === undefined) return undefined;
  const whose = new TextEncoder().encode(`${formatEntityName(name)}\n${server}\n${service}`);
  return join(base, 'cephgate', `ticket-${encodeHex(sha256(whose)).slice(0, 32)}.json`);
}

/** Replaces the file. Throws FileError. */
export function keepTicket(path: string, name: EntityName, kept: KeptTicket): void {
  const { ticket, globalId } = kept;
  makePrivateDirectory(dirname(path));
  const document = {
    format: FORMAT,
    entity: formatEntityName(name),
    global_id: globalId.toString(),
    service_id: ticket.serviceId,
    secret_id: ticket.blob.secretId.toString(),
    blob: encodeBase64(ticket.blob.blob),
    session_key: ticket.sessionKey.toBase64(),
    renew_after_ns: ticket.renewAfterNs.toString(),
    expires_ns: ticket.expiresNs.toString(),
  };
  writePrivateFile(path, `${JSON.stringify(document)}\n`);
}

/**
 * The ticket that was kept. Throws FileError if there is none, it is another one, or it expired;
 * ConfigError if nobody said where it is.
 */
export function keptTicket(
  path: string | undefined,
  name: EntityName,
  serviceId: number,
  nowNs: bigint,
): KeptTicket {
  if (path === undefined) {
    throw new ConfigError('config.value', 'there is no home for tickets: "--tickets" is missing');
  }
  const kept = parse(readPrivateFile(path), name);
  const fail = (state: string): FileError =>
    new FileError('file.content', `cannot use the ticket in "${path}": ${state}`);
  if (kept === undefined) throw fail(`not a ticket of ${formatEntityName(name)}`);
  if (kept.ticket.serviceId !== serviceId) throw fail('it is for another service');
  if (nowNs >= kept.ticket.expiresNs) throw fail('it is expired');
  return kept;
}

function parse(text: string, name: EntityName): KeptTicket | undefined {
  try {
    const fields = JSON.parse(text) as Record<string, string>;
    if (fields.format !== FORMAT || fields.entity !== formatEntityName(name)) return undefined;
    const number = (field: string): bigint => {
      const value = parseU64(String(fields[field]));
      if (value === undefined) throw new SyntaxError(field);
      return value;
    };
    const blob = { secretId: number('secret_id'), blob: decodeBase64(String(fields.blob)) };
    const sessionKey = CryptoKey.fromBase64(String(fields.session_key));
    if (!sessionKey.usable) return undefined;
    const times = { renewAfterNs: number('renew_after_ns'), expiresNs: number('expires_ns') };
    const validity = { seconds: 0, nanoseconds: 0 };
    const serviceId = Number(number('service_id'));
    const ticket = { serviceId, sessionKey, validity, blob, ...times };
    return { ticket, globalId: number('global_id') };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DecodeError) return undefined;
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

const FORMAT = 'cephgate-ticket/1';
