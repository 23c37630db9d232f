/** Shapes of the recorded conversations with a monitor (format msgr2-session/1). */

export interface SessionFile {
  readonly format: string;
  readonly ceph_version: string;
  readonly sessions: readonly RecordedSession[];
}

export interface RecordedSession {
  readonly protocol: 'msgr2.0' | 'msgr2.1';
  readonly mode: 'crc' | 'secure';
  readonly entity: string;
  readonly key: string;
  readonly monitor: { readonly host: string; readonly port: number };
  readonly server_challenge: string;
  readonly client_challenge: string;
  readonly proof: string;
  readonly global_id: string;
  readonly auth_session_key: string;
  /** Hex; empty in crc mode. */
  readonly connection_secret: string;
  readonly stream: readonly StreamRecord[];
}

export interface StreamRecord {
  readonly from: 'client' | 'server';
  /** Hex, as on the wire. */
  readonly bytes: string;
  readonly banner?: { readonly supported: string; readonly required: string };
  readonly frame?: string;
  readonly tag?: number;
  readonly segments?: readonly string[];
  readonly units?: readonly { nonce: string; plaintext: string; tag: string }[];
  readonly decoded?: Readonly<Record<string, unknown>>;
}
