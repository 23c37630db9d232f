/**
 * Connections that change and read the users of a sidecar until it dies under them, and remember
 * what was acknowledged.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AdminSidecar } from './auth-sidecar.ts';

/** An entity of `auth ls -f json`. */
export interface Listed {
  readonly entity: string;
  readonly key: string;
  readonly caps: Readonly<Record<string, string>>;
}

/**
 * A thing that steps through numbers. After a crash it stands at what was acknowledged, or at what
 * was asked for and not answered.
 */
interface Track {
  acknowledged: number;
  asked: number;
}

type Command = Readonly<Record<string, unknown>>;

export class Writers {
  /** What is wrong, in words. */
  readonly complaints: string[] = [];
  acknowledged = 0;
  imports = 0;
  readings = 0;
  readonly #caps = Array.from({ length: CONNECTIONS }, newTrack);
  readonly #presence = Array.from({ length: CONNECTIONS }, newTrack);
  readonly #group = newTrack();
  /** Keys that were given out. */
  readonly #keys = new Map<string, string>();

  /** Works on all connections until the sidecar is gone. */
  async work(sidecar: AdminSidecar): Promise<void> {
    await Promise.all([
      ...this.#caps.map((track, i) => this.#loop(() => this.#changeCaps(sidecar, track, i))),
      ...this.#presence.map((track, i) => this.#loop(() => this.#comeAndGo(sidecar, track, i))),
      this.#loop(() => this.#import(sidecar)),
      ...Array.from({ length: READERS }, () => this.#loop(() => this.#read(sidecar))),
    ]);
  }

  /** Waits for so much more that is acknowledged. */
  async haveDone(
    more: Readonly<Record<'changes' | 'readings' | 'imports', number>>,
  ): Promise<void> {
    const changes = this.acknowledged + more.changes;
    const readings = this.readings + more.readings;
    const imports = this.imports + more.imports;
    while (
      this.complaints.length === 0 &&
      (this.acknowledged < changes || this.readings < readings || this.imports < imports)
    ) {
      await sleep(1);
    }
  }

  /** Compares with what is there after a crash, which is the truth from now on. */
  checkAfterCrash(list: readonly Listed[]): void {
    const settle = (track: Track, found: number, what: string): void => {
      const { acknowledged, asked } = track;
      expect([acknowledged, asked], `${what} after the crash`).toContain(found);
      track.acknowledged = found;
      track.asked = found;
    };
    const byName = new Map(list.map((each) => [each.entity, each]));
    for (const [i, track] of this.#caps.entries()) {
      settle(track, numberOf(byName.get(capsName(i))), capsName(i));
    }
    for (const [i, track] of this.#presence.entries()) {
      // Odd steps make it, even ones take it away.
      const present = byName.has(presenceName(i));
      const { acknowledged, asked } = track;
      const found = (acknowledged % 2 === 1) === present ? acknowledged : asked;
      expect([presenceName(i), found % 2 === 1]).toEqual([presenceName(i), present]);
      settle(track, found, presenceName(i));
    }
    settle(this.#group, groupNumber(list), 'the imported group');
    for (const [name, key] of this.#keys)
      expect([name, byName.get(name)?.key]).toEqual([name, key]);
  }

  /** Each answer is a success or, once the sidecar is dead, none. */
  async #loop(once: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await once();
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (!GONE.includes(String(code))) this.complaints.push(String(error));
        return;
      }
    }
  }

  async #changeCaps(sidecar: AdminSidecar, track: Track, i: number): Promise<void> {
    const entity = capsName(i);
    track.asked = track.acknowledged + 1;
    const prefix = track.acknowledged === 0 ? 'auth get-or-create' : 'auth caps';
    const output = await this.#ask(sidecar, { prefix, entity, caps: capsWith(track.asked) });
    const key = /key = (\S+)/.exec(output)?.[1];
    if (key !== undefined) this.#keys.set(entity, key);
    track.acknowledged = track.asked;
    this.acknowledged++;
  }

  async #comeAndGo(sidecar: AdminSidecar, track: Track, i: number): Promise<void> {
    track.asked = track.acknowledged + 1;
    const prefix = track.asked % 2 === 1 ? 'auth add' : 'auth rm';
    await this.#ask(sidecar, { prefix, entity: presenceName(i) });
    track.acknowledged = track.asked;
    this.acknowledged++;
  }

  /** More entities than a transaction takes. */
  async #import(sidecar: AdminSidecar): Promise<void> {
    const track = this.#group;
    track.asked = track.acknowledged + 1;
    const input = btoa(groupKeyring(track.asked));
    await this.#ask(sidecar, { prefix: 'auth import', input });
    track.acknowledged = track.asked;
    this.imports++;
  }

  /** What a reader sees is whole, not older than the acknowledged and not newer than the asked. */
  async #read(sidecar: AdminSidecar): Promise<void> {
    const tracks = [...this.#caps, this.#group];
    const least = tracks.map(({ acknowledged }) => acknowledged);
    const list = JSON.parse(await this.#ask(sidecar, { prefix: 'auth ls', format: 'json' }))
      .auth_dump as Listed[];
    const byName = new Map(list.map((each) => [each.entity, each]));
    const seen = this.#caps.map((_, i) => numberOf(byName.get(capsName(i))));
    seen.push(groupNumber(list));
    for (const [i, number] of seen.entries()) {
      const most = tracks[i]!.asked;
      if (number >= least[i]! && number <= most) continue;
      this.complaints.push(`a reader saw ${number}: expected ${least[i]} to ${most}`);
    }
    this.readings++;
  }

  async #ask(sidecar: AdminSidecar, command: Command): Promise<string> {
    const { status, text, body } = await sidecar.command(command);
    if (status === 200 && body?.retcode === 0) return body.output;
    throw new Error(`${JSON.stringify(command).slice(0, 80)}: ${status} ${text.slice(0, 200)}`);
  }
}

/** A keyring of so many users, client.u0 and on, all with one key. */
export function manyUsers(count: number): string {
  return Array.from({ length: count }, (_, i) => section(`client.u${i}`, 'allow r')).join('');
}

function newTrack(): Track {
  return { acknowledged: 0, asked: 0 };
}

/** One number in each service, so that half a change would show. */
function capsWith(n: number): string[] {
  return ['mon', `allow command n${n}`, 'osd', `allow r pool=n${n}`, 'mds', `allow r path=/n${n}`];
}

/** 0 if there is no such entity; NaN if it is not whole. */
function numberOf(listed: Listed | undefined): number {
  if (listed === undefined) return 0;
  const numbers = Object.values(listed.caps).map((text) => /n(\d+)$/.exec(text)?.[1]);
  return numbers.length === 3 && new Set(numbers).size === 1 ? Number(numbers[0]) : Number.NaN;
}

function groupKeyring(n: number): string {
  const names = Array.from({ length: GROUP }, (_, i) => `client.group${i}`);
  return names.map((name) => section(name, `allow command n${n}`)).join('');
}

/** 0 if there is no group; NaN if a part of one is there, or parts of two. */
function groupNumber(list: readonly Listed[]): number {
  const group = list.filter(({ entity }) => entity.startsWith('client.group'));
  if (group.length === 0) return 0;
  const numbers = new Set(group.map(({ caps }) => /n(\d+)$/.exec(caps.mon ?? '')?.[1]));
  return group.length === GROUP && numbers.size === 1 ? Number([...numbers][0]) : Number.NaN;
}

function section(name: string, mon: string): string {
  return `[${name}]\n\tkey = ${KEY}\n\tcaps mon = "${mon}"\n`;
}

function capsName(i: number): string {
  return `client.caps${i}`;
}

function presenceName(i: number): string {
  return `client.presence${i}`;
}

const CONNECTIONS = 6;
const READERS = 3;
const GROUP = 500;
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
/** How a request ends when the other end dies, or has died. */
const GONE: readonly string[] = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ENOENT'];
