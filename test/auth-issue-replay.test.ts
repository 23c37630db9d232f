/**
 * The issuing side against recordings of a real Ceph 16.2.15: requests as they were sent, with the
 * secrets, times and random numbers of the recording, must give the recorded replies byte for byte.
 */

import { expect, test } from 'vitest';
import type { Exchange } from '../src/auth/exchange.ts';
import type { TicketTtls } from '../src/auth/keyserver.ts';
import { answerLogin, type LoginContext } from '../src/auth/login.ts';
import { rotatingKeysOf } from '../src/auth/rotatingkeys.ts';
import { answerServiceTickets } from '../src/auth/serviceticket.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeNs } from '../src/cephx/denc.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import type { EntityRecord, RotatingRecord, RotatingSecret } from '../src/store/index.ts';
import { BOTH_CIPHERS, entity, Rig } from './auth-issue-kit.ts';
import type { LabFile, LabReply, LabSession, LabTicket, LabTime } from './lab.ts';
import { fromHex, loadVectors, toHex } from './twin/load.ts';

/** What went into one ticket of a recorded reply. */
interface Minted {
  readonly service: string;
  readonly secretId: bigint;
  readonly sessionKey: CryptoKey;
  readonly createdNs: bigint;
  readonly validityNs: bigint;
}

/** A recorded cluster. */
interface Cluster {
  readonly entities: Readonly<Record<string, EntityRecord>>;
  /** Every secret a service ever had. */
  readonly secrets: Readonly<Record<string, readonly RotatingSecret[]>>;
  readonly ttls: TicketTtls;
}

interface RecordedLogin {
  readonly exchange: Exchange;
  /** CephXAuthenticate, without the header. */
  readonly body: string;
  /** What follows the response header; undefined for a refusal. */
  readonly reply: string | undefined;
  readonly auth: readonly Minted[];
  readonly others: readonly Minted[];
  readonly connection: LoginContext['connection'];
  readonly connectionSecret: string;
  readonly reclaimed: boolean;
  readonly globalId: bigint;
}

const SECOND = 1_000_000_000n;
const ns = (time: LabTime): bigint => BigInt(time.sec) * SECOND + BigInt(time.nsec);

async function replayLogin(cluster: Cluster, login: RecordedLogin): Promise<void> {
  const { auth, others, exchange, connection } = login;
  const minted = [...auth, ...others];
  const rig = await rigFor(cluster, minted, login.globalId);
  const { times, rings } = clockFor(cluster, minted);
  expect(Object.keys(rings).length).toBe(minted.length);
  // One reading notes when the key was used, one judges the old ticket.
  const first = auth[0]?.createdNs ?? 0n;
  rig.times = [...(login.reclaimed ? [first, first] : [first]), ...times];
  rig.randoms = [
    ...auth.flatMap(({ sessionKey }) => [sessionKey.secret, undefined, undefined]),
    ...(login.reclaimed ? [undefined] : []),
    ...(connection === 'secure' ? [fromHex(login.connectionSecret)] : []),
    ...(connection === 'none' ? [] : [undefined]),
    ...others.flatMap(({ sessionKey }) => [sessionKey.secret, undefined]),
  ];
  const context = { connection, source: 'test' };
  const answer = await answerLogin(rig.issuer, exchange, fromHex(login.body), context);
  if (login.reply === undefined) {
    expect(answer).toEqual({ status: -13, payload: undefined });
    return;
  }
  expect(answer.status).toBe(0);
  expect(toHex(answer.payload!)).toBe(login.reply);
  expect('globalId' in answer && answer.globalId).toBe(login.globalId);
}

/** An instance whose rings are those that made these tickets. */
async function rigFor(
  cluster: Cluster,
  minted: readonly Minted[],
  globalId: bigint,
  secretId = 2n,
): Promise<Rig> {
  const { entities, ttls } = cluster;
  const base: Record<string, RotatingRecord> = {};
  for (const service of Object.keys(cluster.secrets)) {
    base[service] = ringUpTo(cluster, service, service === 'auth' ? secretId + 1n : 3n);
  }
  const rings = { ...base, ...clockFor(cluster, minted).rings };
  const currents = Object.values(rings).map(({ secrets }) => secrets[1]!.expiresNs);
  const nowNs = currents.sort((a, b) => (a < b ? -1 : 1))[0]! - 1n;
  const ciphers = { ...BOTH_CIPHERS, service: 'aes' };
  const issuer = { policy: { release: 16 } as const };
  return Rig.create({ entities, rings, ttls, nowNs, ciphers, globalIdMax: globalId - 1n, issuer });
}

function ringUpTo(cluster: Cluster, service: string, newest: bigint): RotatingRecord {
  const all = cluster.secrets[service]!;
  const secrets = all.filter(({ secretId: id }) => id <= newest && id > newest - 3n);
  expect(secrets.length).toBe(3);
  return { secretIdMax: newest, secrets };
}

/** The rings and the clock readings that made these tickets: three readings each. */
function clockFor(cluster: Cluster, minted: readonly Minted[]) {
  const rings: Record<string, RotatingRecord> = {};
  const times: bigint[] = [];
  const { authMonTicketTtlNs, authServiceTicketTtlNs } = cluster.ttls;
  for (const { service, secretId, validityNs, createdNs, sessionKey } of minted) {
    const ttlNs = service === 'auth' ? authMonTicketTtlNs : authServiceTicketTtlNs;
    // A capped ticket was sealed with the newest secret, because rotation was late.
    const isCapped = validityNs !== ttlNs;
    const ring = ringUpTo(cluster, service, isCapped ? secretId : secretId + 1n);
    rings[service] = ring;
    const secretNs = isCapped ? ring.secrets[2]!.expiresNs - validityNs : createdNs;
    times.push(secretNs, createdNs, utimeNs(sessionKey.created));
  }
  return { rings, times };
}

function mintedOf(ticket: LabTicket): Minted {
  return {
    service: ticket.service,
    secretId: BigInt(ticket.ticket_blob.secret_id),
    sessionKey: CryptoKey.fromBase64(ticket.session_key.encoded),
    createdNs: ns(ticket.ticket.fields.created),
    validityNs: ns(ticket.validity),
  };
}

for (const [name, logins, requests, rotations, ttls] of [
  ['vectors-v2-alpha.json', 35, 0, 6, [259200n, 3600n]],
  ['vectors-v1-gamma.json', 10, 5, 0, [259200n, 3600n]],
  ['vectors-renewal-epsilon.json', 7, 7, 0, [20n, 6n]],
] as const) {
  test(`${name}: ${logins} logins, ${requests} requests, ${rotations} rings`, async () => {
    const file = loadVectors<LabFile>(name);
    const cluster = clusterOf(file, ttls[0], ttls[1]);
    const seen = { logins: 0, requests: 0, rotations: 0 };
    for (const session of file.sessions) {
      if (session.auth_mode === 'mon') {
        await replayLogin(cluster, frameLogin(session));
        seen.logins += 1;
      }
      await replayMessages(cluster, session, seen);
    }
    expect(seen).toEqual({ logins, requests, rotations });
  });
}

function clusterOf(file: LabFile, monTtl: bigint, serviceTtl: bigint): Cluster {
  interface Row {
    readonly key: { readonly encoded: string };
    readonly caps: Readonly<Record<string, string>>;
  }
  const rows = Object.entries(file.entities as unknown as Record<string, Row>);
  const services = Object.entries(file.rotating_secrets);
  return {
    entities: Object.fromEntries(
      rows.map(([name, { key, caps }]) => [name, entity(CryptoKey.fromBase64(key.encoded), caps)]),
    ),
    secrets: Object.fromEntries(
      services.map(([service, { secrets }]) => [
        service,
        secrets.map((each) => ({
          secretId: BigInt(each.id),
          key: CryptoKey.fromBase64(each.key.encoded).encode(),
          expiresNs: ns(each.expiration),
        })),
      ]),
    ),
    ttls: { authMonTicketTtlNs: monTtl * SECOND, authServiceTicketTtlNs: serviceTtl * SECOND },
  };
}

/** A login over msgr2. */
function frameLogin(session: LabSession): RecordedLogin {
  const done = session.auth_done;
  const claimed = BigInt(session.auth_request!.global_id);
  const fields = done?.reply.tickets[0]?.ticket.fields;
  const secret = session.connection_secret ?? '';
  return {
    exchange: {
      name: parseEntityName(session.entity.name)!,
      globalId: claimed,
      serverChallenge: BigInt(session.server_challenge!.server_challenge),
    },
    body: session.authenticate!.raw.slice(4),
    reply: done?.payload.slice(12),
    auth: done?.reply.tickets.map(mintedOf) ?? [],
    others: done?.extra_tickets?.tickets.map(mintedOf) ?? [],
    connection: secret === '' ? 'crc' : 'secure',
    connectionSecret: secret,
    reclaimed: session.old_ticket_opened !== undefined,
    globalId: BigInt(fields?.global_id ?? 4097n),
  };
}

/** MAuth messages: logins over msgr1, renewals, ticket requests, rotating secrets. */
async function replayMessages(
  cluster: Cluster,
  session: LabSession,
  seen: { logins: number; requests: number; rotations: number },
): Promise<void> {
  const messages = session.auth_messages ?? [];
  const name = parseEntityName(session.entity.name)!;
  let serverChallenge = BigInt(session.server_challenge?.server_challenge ?? 0);
  for (const [i, message] of messages.entries()) {
    const reply = messages[i + 1] as Partial<LabReply> & {
      payload: string;
      status?: number;
      result?: number;
    };
    const body = message.payload.slice(4);
    if (message.kind === 'server_challenge') serverChallenge = BigInt(message.server_challenge!);
    else if (message.kind === 'authenticate') {
      // Without mon caps 16.2.15 refuses, yet hands out a ticket over msgr1: we hand out nothing.
      const given = reply.result === 0 ? reply.reply?.tickets : undefined;
      const fields = given?.[0]?.ticket.fields;
      const globalId = BigInt(fields?.global_id ?? 4097n);
      const reclaimed = message.old_ticket_opened !== undefined;
      await replayLogin(cluster, {
        exchange: { name, globalId: reclaimed ? globalId : 0n, serverChallenge },
        body,
        reply: fields === undefined ? undefined : reply.payload.slice(12),
        auth: given?.map(mintedOf) ?? [],
        others: reply.extra_tickets?.tickets.map(mintedOf) ?? [],
        connection: 'none',
        connectionSecret: '',
        reclaimed,
        globalId,
      });
      seen.logins += 1;
    } else if (message.kind === 'get_principal_session_key') {
      const minted = reply.reply!.tickets.map(mintedOf);
      const secretId = BigInt(message.authorizer!.ticket_blob.secret_id);
      const rig = await rigFor(cluster, minted, 4097n, secretId);
      rig.times = [minted[0]!.createdNs, ...clockFor(cluster, minted).times];
      rig.randoms = minted.flatMap(({ sessionKey }) => [sessionKey.secret, undefined]);
      const answer = await answerServiceTickets(rig.issuer, fromHex(body));
      expect(answer.status).toBe(0);
      expect(toHex(answer.payload!)).toBe(reply.payload.slice(12));
      seen.requests += 1;
    } else if (message.kind === 'get_rotating_key') {
      const rig = await rigFor(cluster, [], 4097n);
      const answer = await rotatingKeysOf(rig.issuer, name);
      expect(answer.status).toBe(reply.status);
      expect(toHex(answer.payload!)).toBe(reply.payload.slice(12));
      seen.rotations += 1;
    }
  }
}
