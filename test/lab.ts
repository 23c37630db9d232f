/**
 * Shapes of the session files of vectors/README-lab.md (format cephx-lab-vectors/1), as far as
 * cephx is in them, and a counter of what was compared.
 */

import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { ENTITY_TYPES } from '../src/cephx/protocol.ts';
import { loadVectors } from './twin/load.ts';
import type { TwinSecret } from './twin/verify.ts';

export interface LabTime {
  sec: number;
  nsec: number;
}
export interface LabKey {
  encoded: string;
}
export interface LabFields {
  name: { type: number; id: string; name: string };
  global_id: string;
  old_auid: string;
  created: LabTime;
  expires: LabTime;
  allow_all: number;
  caps_raw: string;
  caps: string | null;
  flags: number;
  session_key: LabKey;
}
export interface LabOpened {
  opened_with: { service: string; secret_id: string };
  plaintext: string;
  fields: LabFields;
}
export interface LabTicket {
  service: string;
  service_id: number;
  encrypted_secret_part: string;
  secret_part_plaintext: string;
  session_key: LabKey;
  validity: LabTime;
  blob_encrypted: number;
  blob_on_wire: string;
  ticket_blob: { secret_id: string; blob: string };
  ticket: LabOpened;
}
export interface LabAuthorizer {
  raw: string;
  global_id: string;
  service_id: number;
  ticket_blob: { secret_id: string; blob: string };
  encrypted_authorize: string;
  authorize_plaintext: string;
  authorize: { nonce: string; have_challenge: number; server_challenge_plus_one: string };
  ticket: LabOpened;
}
export interface LabAuthenticate {
  struct_v: number;
  client_challenge: string;
  key: string;
  old_ticket: { secret_id: string; blob: string };
  other_keys: number;
}
export interface LabReply {
  reply: { tickets: LabTicket[] };
  extra_tickets?: { tickets: LabTicket[] };
  extra_tickets_raw?: string;
  connection_secret_encrypted?: string;
}
export interface LabMessage {
  from: string;
  seq: string;
  front_len: number;
  middle_len: number;
  data_len: number;
  header_crc: number;
  front_crc: number;
  middle_crc: number;
  data_crc: number;
  sig: string;
  signed: boolean;
}
export interface LabAuthMessage extends Partial<LabAuthenticate>, Partial<LabReply> {
  kind?: string;
  payload: string;
  server_challenge?: string;
  status?: number;
  proof_matches?: boolean;
  old_ticket_opened?: LabOpened;
  authorizer?: LabAuthorizer;
  ticket_request?: { keys: number };
  plaintext?: string;
  rotating_secrets?: { secrets: LabSecret[]; max_ver: string };
}
export interface LabSecret {
  id: string;
  key: LabKey;
  expiration: LabTime;
}
export interface LabSession {
  id: string;
  service: string;
  entity: { type: number; id: string; name: string };
  auth_mode?: string;
  auth_request?: { payload: string; global_id: string };
  server_challenge?: { raw: string; server_challenge: string };
  authenticate?: LabAuthenticate & { raw: string };
  auth_done?: LabReply & { payload: string };
  proof_matches?: boolean;
  old_ticket_opened?: LabOpened;
  connection_secret?: string;
  session_key?: string;
  signatures?: {
    client_sends: string;
    server_to_client_bytes: string;
    server_sends: string;
    client_to_server_bytes: string;
  };
  auth_messages?: LabAuthMessage[];
  authorizer_1?: LabAuthorizer;
  authorizer_challenge?: { encrypted: string; plaintext: string; server_challenge: string };
  authorizer_2?: LabAuthorizer;
  authorizer_reply?: { raw: string; plaintext: string; connection_secret: string };
  connects?: { connect: { authorizer: string }; reply: { tag: string; reply: string } }[];
  messages?: LabMessage[];
}
export interface LabFile {
  entities: Record<string, { key: LabKey }>;
  rotating_secrets: Record<string, { secrets: LabSecret[]; max_ver: string }>;
  rotating_raw: { raw: string }[];
  sessions: LabSession[];
}

/** The keys of one file. */
export class LabKeys {
  readonly file: LabFile;

  constructor(file: LabFile) {
    this.file = file;
  }

  entityKey(name: string): CryptoKey {
    return CryptoKey.fromBase64(this.file.entities[name]!.key.encoded);
  }

  secret(service: string, id: string): CryptoKey {
    const found = this.file.rotating_secrets[service]!.secrets.find((each) => each.id === id)!;
    return CryptoKey.fromBase64(found.key.encoded);
  }

  secrets(service: string): (TwinSecret & { expiresNs: bigint })[] {
    return this.file.rotating_secrets[service]!.secrets.map((each) => ({
      service: ENTITY_TYPES[service]!,
      secretId: BigInt(each.id),
      key: CryptoKey.fromBase64(each.key.encoded),
      expiresNs: BigInt(each.expiration.sec) * 1_000_000_000n + BigInt(each.expiration.nsec),
    }));
  }
}

/** One file, with the number of values that were compared. */
export class Lab extends LabKeys {
  /** Values compared. */
  compared = 0;

  constructor(name: string) {
    super(loadVectors<LabFile>(name));
  }

  /** Demands that a value is as recorded. */
  same(kind: string, where: string, actual: unknown, expected: unknown): void {
    this.compared += 1;
    if (Object.is(actual, expected)) return;
    throw new Error(`${kind} in ${where}: expected ${expected}, got ${actual}`);
  }
}
