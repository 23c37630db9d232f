/**
 * Nine simulated days: clients renew at three quarters of their tickets' lives, secrets rotate, one
 * client asks around every rotation, and verifiers whose clocks differ judge tickets around every
 * boundary. No valid ticket is refused and no expired one accepted. ISSUE_CLIENTS=10000 is the long
 * form.
 */

import process from 'node:process';
import { expect, test } from 'vitest';
import type { ServiceTicketGrant } from '../src/cephx/ticket.ts';
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
  readonly boundary: string;
  readonly authorizer: Uint8Array;
  readonly createdNs: bigint;
  readonly expiresNs: bigint;
}

test(`${DAYS} days, ${CLIENTS} clients, clocks up to 30 s apart`, async () => {
  const key = freshKey('aes256k', rng);
  const caps = { mon: 'allow r', osd: 'allow rw' };
  const entities = { 'client.john': entity(key, caps) };
  const rig = await Rig.create({ entities, ttls: TTLS });
  /**
   * Other instances on the same store: each verifies with its own clock, and has the secrets that
   * the one who rotates has.
   */
  const verifiers = [
    { rig, offNs: 0n, skewNs: SKEW_NS },
    { rig, offNs: 0n, skewNs: 0n },
  ];
  for (const offNs of [SKEW_NS, -SKEW_NS]) {
    const other = await Rig.create({ store: rig.store, ttls: TTLS, nowNs: NOW_NS + offNs });
    verifiers.push({ rig: other, offNs, skewNs: SKEW_NS });
  }
  const seen = { tickets: 0, logins: 0, borders: 0, accepted: 0, refused: 0, dropped: 0 };
  const boundaries = new Set<string>();
  const checks = new Agenda<Check>();
  const renewAt = (seconds: number): bigint =>
    rig.nowNs + BigInt(Math.ceil(seconds * 0.75)) * SECOND;

  /** Shows a ticket that was made now: before its life at once, and then as the days go by. */
  const show = async (osd: ServiceTicketGrant, globalId: bigint): Promise<void> => {
    const createdNs = rig.nowNs;
    const expiresNs = createdNs + BigInt(osd.validity.seconds) * SECOND;
    const base = { authorizer: authorizerOf(osd, globalId, rng), createdNs, expiresNs };
    for (const [end, endNs] of Object.entries({ createdNs, expiresNs })) {
      for (const skewNs of [-SKEW_NS, 0n, SKEW_NS]) {
        for (const second of [-SECOND, 0n, SECOND]) {
          const atNs = endNs + skewNs + second;
          const boundary = `${end} ${skewNs / SECOND} ${second / SECOND}`;
          const check = { ...base, atNs, boundary };
          if (atNs <= createdNs) await judge(check);
          else checks.add(atNs, check);
        }
      }
    }
  };

  const take = async (client: Client): Promise<void> => {
    const { services, globalId } = client.login;
    const [osd] = services;
    client.renewNs = renewAt(osd!.validity.seconds);
    seen.tickets += 1;
    if (seen.tickets % SAMPLE === 0) await show(osd!, globalId);
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
    await take(client);
  };

  const follow = async (verifier: Rig, atNs: bigint): Promise<void> => {
    await rig.keyServer.ready(atNs);
    const newest = (each: Rig): bigint => each.keyServer.held('osd')[2]!.secretId;
    if (newest(verifier) !== newest(rig)) await verifier.keyServer.reload(atNs);
    expect(newest(verifier)).toBe(newest(rig));
  };

  const judge = async (check: Check): Promise<void> => {
    const { atNs, boundary, authorizer, createdNs, expiresNs } = check;
    boundaries.add(boundary);
    for (const { rig: verifier, offNs, skewNs } of verifiers) {
      const nowNs = atNs + offNs;
      await follow(verifier, atNs);
      const request = { service: 4, authorizer, challenge: { mode: 'off' } } as const;
      const verdict = verifier.engine.verify(request, { nowNs, policy: { skewNs } });
      const said = `${verdict.check} ${boundary}, clock ${offNs}, skew ${skewNs}`;
      if (nowNs < createdNs - skewNs) expect(said).toMatch(/^ticket.not_yet_valid /);
      else if (atNs < expiresNs) expect(said).toMatch(/^ok /);
      else if (nowNs >= expiresNs + skewNs) expect(verdict.decision, said).toBe(false);
      // The skew lengthens no secret's life: it may end with the ticket.
      else if (!verdict.decision) expect(said).toMatch(/^authorizer.secret_unknown /);
      if (verdict.decision) seen.accepted += 1;
      else seen.refused += 1;
      if (verdict.check === 'authorizer.secret_unknown') seen.dropped += 1;
    }
  };

  /** Tickets from just before, at and just after a rotation. */
  const borders = new Agenda<bigint>();
  let borderNs = 0n;
  const watchRotation = (): void => {
    const nextNs = rig.keyServer.held('osd')[1]!.expiresNs;
    if (nextNs === borderNs) return;
    borderNs = nextNs;
    for (const second of [-SECOND, 0n, SECOND]) borders.add(borderNs + second, borderNs + second);
  };
  const askAtBorder = async (atNs: bigint, { login }: Client): Promise<void> => {
    rig.nowNs = atNs;
    const { status, services } = await fetchTickets(rig.handler, rng, login, 4);
    expect(status).toBe(0);
    await show(services[0]!, login.globalId);
    seen.borders += 1;
  };

  /** Who asks around rotations. */
  let asking: Client | undefined;
  const clients = new Agenda<Client>();
  const begin = async (): Promise<Client> => {
    const login = await logIn(rig.handler, rng, 'client.john', key, { otherKeys: 4 });
    const client = { login, authRenewNs: renewAt(login.auth.validity.seconds), renewNs: 0n };
    await take(client);
    clients.add(dueOf(client), client);
    return client;
  };
  const beginnings = new Agenda<undefined>();
  let beginNs = NOW_NS;
  for (let i = 0; i < CLIENTS; i++) {
    beginNs += BigInt(rng.int(20_000 / CLIENTS)) * SECOND;
    beginnings.add(beginNs, undefined);
  }
  const endNs = NOW_NS + DAYS * 24n * HOUR_NS;
  for (let second = NOW_NS / SECOND; second * SECOND < endNs; second++) {
    watchRotation();
    for (const _ of beginnings.take(second)) {
      rig.nowNs = second * SECOND;
      const client = await begin();
      asking ??= client;
    }
    for (const atNs of borders.take(second)) await askAtBorder(atNs, asking!);
    for (const check of checks.take(second)) await judge(check);
    for (const client of clients.take(second)) {
      rig.nowNs = dueOf(client);
      await renew(client);
      clients.add(dueOf(client), client);
    }
  }
  expect(seen.tickets).toBeGreaterThan(CLIENTS * 250);
  expect(seen.logins).toBeGreaterThanOrEqual(CLIENTS * 3);
  expect(seen.borders).toBeGreaterThan(3 * 210);
  expect(boundaries.size).toBe(2 * 3 * 3);
  expect(seen.accepted).toBeGreaterThan(40_000);
  expect(seen.refused).toBeGreaterThan(20_000);
  expect(rig.keyServer.held('osd')[2]!.secretId).toBeGreaterThan(210n);
}, 14_400_000);

function dueOf({ authRenewNs, renewNs }: Client): bigint {
  return authRenewNs < renewNs ? authRenewNs : renewNs;
}

/** Things to do, by the second in which they are due; all of the test is a whole number apart. */
class Agenda<T> {
  readonly #seconds = new Map<bigint, T[]>();

  add(atNs: bigint, what: T): void {
    const list = this.#seconds.get(atNs / SECOND);
    if (list === undefined) this.#seconds.set(atNs / SECOND, [what]);
    else list.push(what);
  }

  take(second: bigint): T[] {
    const list = this.#seconds.get(second) ?? [];
    this.#seconds.delete(second);
    return list;
  }
}
