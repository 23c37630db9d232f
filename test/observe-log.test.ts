/** Request ids, structured logs, and the decision log with its rotation and back pressure. */

import { createHmac } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import type { LogRecord } from '../src/http/deps.ts';
import { DecisionLog } from '../src/observe/decisionlog.ts';
import { createLogger, loadHashKey, SidecarObserver } from '../src/observe/index.ts';
import { RotatingFile } from '../src/observe/rotatingfile.ts';
import { NOW_NS } from './authorizers.ts';
import { aes256kSecret, Kit, osdTicket, random } from './http-kit.ts';
import { parse } from './observe-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('observe');
afterAll(() => folder.remove());
let files = 0;
const newPath = (): string => join(folder.path, `log-${files++}`);
const OP = { pool: 'liverpool', namespace: 'n', object: 'secret-plan', read: true };
const MIB = 1_048_576;

describe('request ids', () => {
  it.each(['a', 'A-1_2.3', 'x'.repeat(64)])('%s is taken over', async (id) => {
    const kit = await Kit.create();
    const { headers } = await kit.raw('/livez', { headers: { 'cephgate-request-id': id } });
    expect(headers.get('cephgate-request-id')).toBe(id);
  });

  it.each(['', 'x'.repeat(65), 'a b', 'a"b', 'é', '{}'])('"%s" is not', async (id) => {
    const kit = await Kit.create();
    const { headers } = await kit.raw('/livez', { headers: { 'cephgate-request-id': id } });
    expect(headers.get('cephgate-request-id')).toMatch(/^[0-9a-f]{24}$/);
  });

  it('are in each line that a request causes, and differ', async () => {
    const kit = await Kit.create();
    const { final } = await kit.accept(osdTicket());
    const { session } = final.body;
    await kit.post('/v1/check', { service: 'osd', session, op: OP });
    await kit.post('/v1/checks', { service: 'osd', items: [{ session, op: OP }, {}] });
    const ids = kit.logs.map((record) => record.request_id);
    expect(ids).toHaveLength(5);
    expect(new Set(ids).size).toBe(4);
    expect(ids[1]).toBe(final.headers.get('cephgate-request-id'));
  });

  it('are in the line of an error of ours, and of a refusal', async () => {
    const kit = await Kit.create();
    Object.assign(kit.deps, { observe: new SidecarObserver(kit.deps) });
    const broken = { ...kit.deps.engine, verify: () => undefined };
    Object.assign(kit.deps, { engine: broken });
    const headers = { 'cephgate-request-id': 'mine', 'content-type': 'application/json' };
    const post = (path: string, body: unknown): Promise<{ status: number }> =>
      kit.raw(path, { method: 'POST', headers, body: JSON.stringify(body) });
    expect((await post('/v1/verify', { service: 'osd', authorizer: '' })).status).toBe(500);
    expect((await post('/v1/verify', {})).status).toBe(400);
    const lines = kit.logs.map(({ event, request_id }) => [event, request_id]);
    expect(lines).toEqual([
      ['error', 'mine'],
      ['refused', 'mine'],
      ['refused', 'mine'],
    ]);
  });

  it('of refusals are logged so many times in a second', async () => {
    const kit = await Kit.create();
    Object.assign(kit.deps, { observe: new SidecarObserver(kit.deps) });
    for (let i = 0; i < 100; i++) await kit.raw('/nowhere', {});
    expect(kit.logs).toHaveLength(20);
    kit.nowNs += 1_000_000_000n;
    await kit.raw('/nowhere', {});
    expect(kit.logs.at(-2)).toMatchObject({ event: 'refused.more', count: 80 });
  });
});

describe('a line of the log', () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line), clock: () => NOW_NS });
  const printed = (record: unknown): Record<string, unknown> => {
    lines.length = 0;
    log(record as LogRecord);
    expect(lines).toHaveLength(1);
    expect(lines[0]!.endsWith('}\n')).toBe(true);
    expect(lines[0]!.indexOf('\n')).toBe(lines[0]!.length - 1);
    return JSON.parse(lines[0]!);
  };

  it('is a JSON object with time, level and event first', () => {
    expect(printed({ event: 'x', n: 1, ok: true, none: undefined })).toEqual({
      time: '2027-01-15T08:00:00.000000000Z',
      ...{ level: 'info', event: 'x', n: 1, ok: true },
    });
    expect(Object.keys(printed({ b: 1, level: 'warn', event: 'x' })).slice(0, 3)).toEqual([
      ...['time', 'level', 'event'],
    ]);
  });

  it('keeps what is in a text within the line', () => {
    expect(printed({ event: 'x', text: 'a\n{"event":"forged"}\u2028' }).text).toBe(
      'a\n{"event":"forged"}\u2028',
    );
    expect(printed({ text: 'x'.repeat(1_000_000) }).text).toHaveLength(1_027);
  });

  it('shows what a thing is, and nothing of what it holds', () => {
    const key = aes256kSecret;
    const bytes = key.encode();
    const shown = printed({
      ...{
        key,
        bytes,
        view: new DataView(bytes.buffer),
        list: [key, bytes],
        holder: { key, bytes },
      },
      ...{ number: 7n, made: () => bytes, none: null },
    });
    expect(shown).toMatchObject({
      ...{ key: '<CryptoKey>', bytes: '<44 bytes>', view: '<44 bytes>', list: '<Array>' },
      ...{ holder: '<Object>', number: '7', made: '<function>', none: null },
    });
  });
});

describe('a key', () => {
  it('prints as its type, whoever prints it', () => {
    const key = aes256kSecret;
    const depth = { depth: 9, showHidden: true, getters: true, customInspect: true };
    for (const text of [
      ...[`${key}`, String(key), JSON.stringify(key), JSON.stringify({ a: [key] })],
      ...[inspect(key), inspect({ a: { b: [key] } }, depth), inspect(new Map([[key, key]]))],
    ]) {
      expect(text).toContain('CryptoKey(aes256k)');
      expectNoBytes(text, key.secret);
    }
    expectNoBytes(inspect(key, { ...depth, customInspect: false, getters: false }), key.secret);
    expect(Object.keys(key)).not.toContain('secret');
  });
});

interface Logged {
  readonly kit: Kit;
  readonly observer: SidecarObserver;
  readonly path: string;
  lines(): Promise<Record<string, unknown>[]>;
}

async function logged(
  options: { sample?: number; lenMax?: number; keep?: number; hashKey?: Uint8Array } = {},
): Promise<Logged> {
  const kit = await Kit.create();
  const path = newPath();
  const { sample = 1, lenMax = MIB, keep = 3, hashKey } = options;
  const decisionLog = { path, sample, lenMax, keep, hashKey };
  const observer = new SidecarObserver(kit.deps, { decisionLog });
  Object.assign(kit.deps, { observe: observer });
  return {
    ...{ kit, observer, path },
    lines: async () => {
      await observer.close();
      return linesOf(path);
    },
  };
}

function linesOf(path: string): Record<string, unknown>[] {
  const text = readFileSync(path, 'utf8');
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

describe('the decision log', () => {
  it('says who, what and by which rule, and the other log says nothing', async () => {
    const { kit, path, lines } = await logged();
    const { final } = await kit.accept(osdTicket());
    const { session } = final.body;
    const op = { ...OP, object: 'o' };
    const allowed = await kit.post('/v1/check', { service: 'osd', session, op });
    const items = [{ session, op: { ...op, pool: 'everton' } }];
    await kit.post('/v1/checks', { service: 'osd', items });
    const all = await lines();
    expect(all.map(({ call, decision, check }) => [call, decision, check])).toEqual([
      ['verify', false, 'authorizer.challenge_missing'],
      ['verify', true, 'ok'],
      ['check', true, 'ok'],
      ['checks', false, 'caps.no_matching_grant'],
    ]);
    expect(all[2]).toMatchObject({
      ...{ event: 'decision', caller: 'unix', service: 'osd', reason: 'ok', pool: 'liverpool' },
      ...{ namespace: 'n', object: 'o', access: 'read', entity: 'client.john' },
      decision_id: allowed.body.decision_id,
      request_id: allowed.headers.get('cephgate-request-id'),
    });
    expect(all[1]).toMatchObject({
      ...{ entity: 'client.john', global_id: '4153', secret_id: '2', ticket_key_type: 'aes256k' },
    });
    expect(all[3]).toMatchObject({ item: 0, pool: 'everton' });
    expect(kit.logs).toEqual([]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('names each line by its own answer, whatever stood before', async () => {
    const written: string[] = [];
    const write = (line: string): boolean => written.push(line) > 0;
    let nowNs = NOW_NS;
    const log = new DecisionLog({
      ...{ file: { write, writeNow: write }, clock: () => nowNs, sample: 1 },
      dropped: () => undefined,
    });
    const fixed = { decision: true, reason: 'ok', check: 'ok' } as const;
    const a = { ...fixed, id: 'a', requestId: 'ra', call: 'checks', caller: 'x"y', service: 'osd' };
    const b = { ...fixed, id: 'b', requestId: 'rb', call: 'check', caller: 'unix', service: 'mds' };
    const asked = [{ ...a, item: 0 }, { ...a, item: 1 }, b, { ...a, item: 2 }, { ...b, id: 'c' }];
    for (const facts of [...asked, { ...b, requestId: undefined }, { ...b, id: 'd', item: 0 }]) {
      log.add(facts);
      nowNs += 1_000_000_000n;
    }
    const lines = written.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines.map((line) => [
        line.decision_id,
        line.item,
        line.request_id,
        line.caller,
        line.service,
      ]),
    ).toEqual([
      ['a', 0, 'ra', 'x"y', 'osd'],
      ['a', 1, 'ra', 'x"y', 'osd'],
      ['b', undefined, 'rb', 'unix', 'mds'],
      ['a', 2, 'ra', 'x"y', 'osd'],
      ['c', undefined, 'rb', 'unix', 'mds'],
      ['b', undefined, undefined, 'unix', 'mds'],
      ['d', 0, 'rb', 'unix', 'mds'],
    ]);
    // The decisions of an answer are of one time; all others of their own.
    expect(new Set(lines.map(({ time }) => time)).size).toBe(6);
  });

  it('has the exact rule where the answer is masked', async () => {
    const { kit, lines } = await logged();
    const altered = osdTicket().authorizer();
    altered[60]! ^= 1;
    const authorizer = Buffer.from(altered).toString('base64');
    const { body } = await kit.verify({ service: 'osd', authorizer });
    expect(body.reason.code).toBe('authorizer.invalid');
    const [line] = await lines();
    expect(line).toMatchObject({ reason: 'authorizer.invalid', check: 'ciphertext.mac' });
    expect(line!.entity).toBeUndefined();
  });

  it('has every denial and one in N of the rest', async () => {
    const { kit, lines } = await logged({ sample: 10 });
    const { final } = await kit.accept(osdTicket());
    const { session } = final.body;
    for (let i = 0; i < 59; i++) {
      await kit.post('/v1/check', { service: 'osd', session, op: OP });
      if (i % 3 === 0) await kit.post('/v1/check', { service: 'mds', session, op: MDS_OP });
    }
    const all = await lines();
    expect(all.filter(({ decision }) => decision === false)).toHaveLength(1 + 20);
    const allowed = all.filter(({ decision }) => decision === true);
    expect(allowed).toHaveLength(6);
    expect(new Set(allowed.map(({ sample }) => sample))).toEqual(new Set([10]));
  });

  it('has hashes under a key for names, where asked for', async () => {
    const hashKey = random(32);
    const { kit, path, lines } = await logged({ hashKey });
    await kit.post('/v1/check', { service: 'osd', caps: 'allow r', op: OP });
    const mds = { ...MDS_OP, path: 'secret/path' };
    await kit.post('/v1/check', { service: 'mds', caps: 'allow r', op: mds });
    const hash = (name: string): string =>
      createHmac('sha256', hashKey).update(name).digest('hex').slice(0, 32);
    expect(await lines()).toMatchObject([
      { pool: 'liverpool', object_hash: hash('secret-plan') },
      { path_hash: hash('secret/path') },
    ]);
    expect(readFileSync(path, 'utf8')).not.toMatch(/secret-plan|secret\/path/);
  });

  it('keeps the key of the hashes', () => {
    const path = newPath();
    const key = loadHashKey(path, random);
    expect(key).toHaveLength(32);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(loadHashKey(path, random)).toEqual(key);
    writeFileSync(path, 'abcd\n');
    expect(() => loadHashKey(path, random)).toThrow(/expected 64 hexadecimal digits$/);
  });

  it('cuts names as long as a body', async () => {
    const { kit, path, lines } = await logged();
    const op = { ...OP, object: 'x'.repeat(900_000) };
    const { body } = await kit.post('/v1/check', { service: 'osd', caps: 'allow r', op });
    expect(body.reason.code).toBe('limit.exceeded');
    expect(await lines()).toHaveLength(1);
    expect(statSync(path).size).toBeLessThan(2_000);
  });

  it('appends to what is there', async () => {
    const { kit, path, lines } = await logged();
    await kit.verify({ service: 'osd', authorizer: '' });
    expect(await lines()).toHaveLength(1);
    const decisionLog = { path, sample: 1, lenMax: MIB, keep: 1 };
    const again = new SidecarObserver(kit.deps, { decisionLog });
    Object.assign(kit.deps, { observe: again });
    await kit.verify({ service: 'osd', authorizer: '' });
    await again.close();
    expect(linesOf(path)).toHaveLength(2);
  });

  it('that cannot be opened is an error at once', async () => {
    const kit = await Kit.create();
    const decisionLog = { path: join(folder.path, 'no', 'log'), sample: 1, lenMax: 1, keep: 1 };
    expect(() => new SidecarObserver(kit.deps, { decisionLog })).toThrow(
      /^cannot open ".*": ENOENT$/,
    );
  });
});

describe('the file', () => {
  const rng = new Rng(seedOf(71));
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it('turns over and loses, tears and doubles no line while enough files are kept', async () => {
    const path = newPath();
    const failed: string[] = [];
    const file = new RotatingFile({
      ...{ path, lenMax: 4_096, keep: 1_000, queueLenMax: 20_000 },
      failed: (code) => failed.push(code),
    });
    let count = 0;
    for (let round = 0; round < 40; round++) {
      for (let n = rng.int(60); n > 0; n--) {
        const line = `${JSON.stringify({ n: count++, text: 'é'.repeat(rng.int(200)) })}\n`;
        if (rng.chance(0.1) || !file.write(line)) expect(file.writeNow(line)).toBe(true);
      }
      if (rng.chance(0.5)) await pause(rng.int(40));
    }
    await file.close();
    expect(failed).toEqual([]);
    const all = namesOf(path).flatMap((name) => linesOf(name).map(({ n }) => Number(n)));
    expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n));
    expect(namesOf(path).length).toBeGreaterThan(10);
  });

  it('has each line whole and in order, however much waits and however long it is', async () => {
    const path = newPath();
    const file = new RotatingFile({ path, lenMax: 64 * MIB, keep: 1, failed: () => undefined });
    let expected = '';
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 500; n++) {
        // Of one to four bytes each, now and then more of them than a block has.
        const text = rng
          .pick(['x', 'é', '€', '\u{1f600}'])
          .repeat(rng.int(n === 250 ? 90_000 : 300));
        const line = `${round} ${n} ${text}\n`;
        expected += line;
        expect(file.write(line)).toBe(true);
      }
      await pause(60);
    }
    await file.close();
    expect(readFileSync(path, 'utf8') === expected).toBe(true);
  });

  it('is as long as it may be, and so many are kept', async () => {
    const path = newPath();
    const file = new RotatingFile({ path, lenMax: 1_000, keep: 2, failed: () => undefined });
    for (let n = 0; n < 200; n++) {
      file.write(`{"n":${n},"x":"${'x'.repeat(80)}"}\n`);
      if (n % 8 === 7) file.writeNow('{}\n');
    }
    await file.close();
    expect(namesOf(path)).toEqual([path, `${path}.1`, `${path}.2`]);
    for (const name of namesOf(path)) expect(statSync(name).size).toBeLessThanOrEqual(1_000);
    expect(Number(linesOf(path).at(-2)?.n)).toBeGreaterThan(190);
  });

  it('says that it has fallen behind, and not where the file takes nothing', async () => {
    const path = join(folder.path, 'behind');
    const failed = (): void => undefined;
    const file = new RotatingFile({ path, lenMax: MIB, keep: 1, queueLenMax: 100, failed });
    expect(file.behind).toBe(false);
    file.write(`${'x'.repeat(60)}\n`);
    expect(file.behind).toBe(true);
    await expect.poll(() => file.behind).toBe(false);
    await file.close();
    // Linux has a file on which every write fails.
    if (!existsSync('/dev/full')) return;
    const full = new RotatingFile({
      ...{ path: '/dev/full', lenMax: MIB, keep: 1, queueLenMax: 100, failed },
    });
    full.write(`${'x'.repeat(60)}\n`);
    expect(full.writeNow('y\n')).toBe(false);
    full.write(`${'x'.repeat(10)}\n`);
    expect(full.behind).toBe(false);
    await full.close();
  });

  it('takes no line beyond its queue, except at once', async () => {
    const path = newPath();
    const file = new RotatingFile({
      ...{ path, lenMax: MIB, keep: 1, queueLenMax: 100, failed: () => undefined },
    });
    const line = `${'x'.repeat(39)}\n`;
    expect([file.write(line), file.write(line), file.write(line)]).toEqual([true, true, false]);
    expect(file.writeNow(line)).toBe(true);
    expect(statSync(path).size).toBe(120);
    expect(file.write(line)).toBe(true);
    await file.close();
    expect(statSync(path).size).toBe(160);
  });
});

describe.runIf(existsSync('/dev/full'))('a full disk', () => {
  it('costs lines, which are counted, and no decision', async () => {
    const kit = await Kit.create();
    const decisionLog = { path: '/dev/full', sample: 1, lenMax: MIB, keep: 0 };
    const observer = new SidecarObserver(kit.deps, { decisionLog });
    Object.assign(kit.deps, { observe: observer });
    // Some thousand long lines are more than the queue holds.
    const defaults = { op: { ...OP, object: 'x'.repeat(1_000) } };
    for (const caps of ['allow r', 'allow w', 'allow r', 'allow w', 'allow r', 'allow w']) {
      const items = Array.from({ length: 1_000 }, () => ({ caps }));
      const body = { service: 'osd', defaults, items };
      expect((await kit.post('/v1/checks', body)).status).toBe(200);
    }
    const seen = parse((await observer.metrics()).text);
    const value = (name: string): number => seen.get(name) ?? 0;
    expect(value('cephgate_decision_log_dropped_total{decision="denied"}')).toBeGreaterThan(0);
    expect(value('cephgate_decision_log_dropped_total{decision="allowed"}')).toBeGreaterThan(0);
    expect(value('cephgate_decision_log_errors_total')).toBeGreaterThan(0);
    const errors = kit.logs.filter(({ event }) => event === 'decision_log');
    expect(errors).toEqual([{ level: 'error', event: 'decision_log', code: 'ENOSPC' }]);
    await observer.close();
  });
});

function namesOf(path: string): string[] {
  const name = path.slice(folder.path.length + 1);
  return readdirSync(folder.path)
    .filter((each) => each === name || each.startsWith(`${name}.`))
    .map((each) => join(folder.path, each))
    .sort();
}

function expectNoBytes(text: string, secret: Uint8Array): void {
  const bytes = Buffer.from(secret);
  const numbers = [...secret.subarray(0, 4)].join(', ');
  const hexed = bytes.toString('hex');
  for (const form of [hexed.slice(0, 16), bytes.toString('base64').slice(0, 12), numbers]) {
    expect(text).not.toContain(form);
  }
}

const MDS_OP = {
  ...{ path: '', inode_uid: 0, inode_gid: 0, inode_mode: 0, caller_uid: 0, caller_gid: 0, mask: 1 },
};
