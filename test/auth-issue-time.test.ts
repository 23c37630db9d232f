/**
 * Nine simulated days: clients renew at three quarters of their tickets' lives, secrets rotate,
 * and verifiers whose clocks differ judge tickets around every boundary. No valid ticket is refused
 * and no expired one accepted. ISSUE_CLIENTS=10000 is the long form.
 */

import process from 'node:process';
import { expect, test } from 'vitest';
import { authorizerOf, fetchTickets, type LoggedIn, logIn } from './auth-issue-client.ts';
import { entity, freshKey, Rig } from './auth-issue-kit.ts';
import { HOUR_NS, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const CLIENTS = Number(process.env.ISSUE_CLIENTS ?? 100);
/** Every so many tickets one is shown to the verifiers. */
const SAMPLE = CLIENTS / 2;
const TTLS = {
  authMonTicketTtlNs: 72n * HOUR_NS,
  authServiceTicketTtlNs: HOUR_NS,
};
const SECOND = 1_000_000_000n;
const MINUTE = 60n * SECOND;
const DAYS = 9n;
const SKEW_NS = 30n * SECOND;
const rng = new Rng(seedOf(53));

interface Client {
  login: LoggedIn;
  authRenewNs: bigint;
  renewNs: bigint;
}

/** A moment at which a ticket is shown to every verifier. */
interface Check {
  readonly atNs: bigint;
  readonly authorizer: Uint8Array;
  readonly createdNs: bigint;
  readonly expiresNs: bigint;
}

test(`${DAYS} days, ${CLIENTS} clients, clocks up to 30 s apart`, async () => {
  const key = freshKey('aes256k', rng);
  const caps = { mon: 'allow r', osd: 'allow rw' };
  const entities = { 'client.john': entity(key, caps) };
  const rig = await Rig.create({ entities, ttls: TTLS });
  /** Other instances on the same store; each verifies with its own clock. */
  const verifiers = [{ rig, offNs: 0n }];
  for (const offNs of [SKEW_NS, -SKEW_NS]) {
    const nowNs = NOW_NS + offNs;
    verifiers.push({ rig: await Rig.create({ store: rig.store, ttls: TTLS, nowNs }), offNs });
  }
  const seen = { tickets: 0, logins: 0, accepted: 0, refused: 0 };
  const checks = new Agenda<Check>();
  const renewAt = (seconds: number): bigint =>
    rig.nowNs + BigInt(Math.ceil(seconds * 0.75)) * SECOND;

  const take = (client: Client): void => {
    const { services, globalId } = client.login;
    const [osd] = services;
    const lifeNs = BigInt(osd!.validity.seconds) * SECOND;
    client.renewNs = renewAt(osd!.validity.seconds);
    seen.tickets += 1;
    if (seen.tickets % SAMPLE !== 0) return;
    const base = {
      authorizer: authorizerOf(osd!, globalId, rng),
      createdNs: rig.nowNs,
      expiresNs: rig.nowNs + lifeNs,
    };
    for (const boundary of [0n, lifeNs, lifeNs + SKEW_NS, lifeNs - SKEW_NS]) {
      for (const second of [-SECOND, 0n, SECOND]) {
        const atNs = rig.nowNs + boundary + second;
        if (atNs >= rig.nowNs) checks.add(atNs, { ...base, atNs });
      }
    }
  };

  const renew = async (client: Client): Promise<void> => {
    const { auth, globalId } = client.login;
    if (client.authRenewNs <= rig.nowNs) {
      const claim = { globalId, oldTicket: auth.blob, otherKeys: 4 };
      client.login = await logIn(rig.handler, rng, 'client.john', key, claim, auth.sessionKey);
      expect([client.login.status, client.login.globalId]).toEqual([0, globalId]);
      client.authRenewNs = renewAt(client.login.auth.validity.seconds);
      seen.logins += 1;
    } else {
      const { status, services } = await fetchTickets(rig.handler, rng, client.login, 4);
      expect(status).toBe(0);
      client.login = { ...client.login, services };
    }
    take(client);
  };

  const judge = async ({ atNs, authorizer, createdNs, expiresNs }: Check): Promise<void> => {
    for (const { rig: verifier, offNs } of verifiers) {
      const nowNs = atNs + offNs;
      await verifier.keyServer.ready(nowNs);
      const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
      const verdict = verifier.engine.verify(request, { nowNs, policy: { skewNs: SKEW_NS } });
      const isValid = createdNs - SKEW_NS <= nowNs && nowNs < expiresNs;
      const isExpired = nowNs >= expiresNs + SKEW_NS;
      if (isValid && !verdict.decision) throw new Error(`${verdict.check}: refused at ${atNs}`);
      if (isExpired && verdict.decision) throw new Error(`accepted at ${atNs}`);
      if (verdict.decision) seen.accepted += 1;
      else seen.refused += 1;
    }
  };

  const clients = new Agenda<Client>();
  for (let i = 0; i < CLIENTS; i++) {
    rig.nowNs += BigInt(rng.int(20_000 / CLIENTS)) * SECOND;
    const login = await logIn(rig.handler, rng, 'client.john', key, { otherKeys: 4 });
    const client = { login, authRenewNs: renewAt(login.auth.validity.seconds), renewNs: 0n };
    take(client);
    clients.add(dueOf(client), client);
  }
  const endNs = NOW_NS + DAYS * 24n * HOUR_NS;
  for (let minute = NOW_NS / MINUTE; minute * MINUTE < endNs; minute++) {
    for (const check of checks.take(minute)) await judge(check);
    for (const client of clients.take(minute)) {
      rig.nowNs = dueOf(client);
      await renew(client);
      clients.add(dueOf(client), client);
    }
  }
  expect(seen.tickets).toBeGreaterThan(CLIENTS * 250);
  expect(seen.logins).toBeGreaterThanOrEqual(CLIENTS * 3);
  expect(seen.accepted).toBeGreaterThan(3000);
  expect(seen.refused).toBeGreaterThan(1000);
  expect(rig.keyServer.held('osd')[2]!.secretId).toBeGreaterThan(210n);
}, 3_600_000);

function dueOf({ authRenewNs, renewNs }: Client): bigint {
  return authRenewNs < renewNs ? authRenewNs : renewNs;
}

/** Things to do, by the minute in which they are due. */
class Agenda<T> {
  readonly #minutes = new Map<bigint, { atNs: bigint; what: T }[]>();

  add(atNs: bigint, what: T): void {
    const minute = atNs / MINUTE;
    const list = this.#minutes.get(minute) ?? [];
    list.push({ atNs, what });
    this.#minutes.set(minute, list);
  }

  /** What is due in this minute, in order. */
  take(minute: bigint): T[] {
    const list = this.#minutes.get(minute) ?? [];
    this.#minutes.delete(minute);
    return list.sort((a, b) => (a.atNs < b.atNs ? -1 : 1)).map(({ what }) => what);
  }
}
