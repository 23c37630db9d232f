/** A log that nobody reads: decisions go on, memory is bounded, what is missing is counted. */

import { request } from 'node:http';
import { afterAll, expect, it, vi } from 'vitest';
import { type Io, processIo } from '../src/cli/io.ts';
import { logWriter } from '../src/cli/logwriter.ts';
import { frames, OSD, PEER } from './frames-kit.ts';
import { send, spawnSidecar, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('log-stalled');
afterAll(() => folder.remove());
/** Deno writes to a pipe before it goes on. */
const waitsForReader = 'Deno' in globalThis;

it('lines are dropped beyond 4 MiB and come again when half of it was taken', () => {
  let waiting = 0;
  const lines: string[] = [];
  const io = { err: (line: string) => void lines.push(line), errWaiting: () => waiting };
  const { write, dropped } = logWriter(io as unknown as Io, () => 1_000_000_000n);
  const written = (...each: string[]): string[] => {
    lines.length = 0;
    for (const line of each) write(line);
    return [...lines];
  };
  expect(written('a\n', 'b\n')).toEqual(['a\n', 'b\n']);
  waiting = 4_194_305;
  expect(written('c\n', 'd\n')).toEqual([]);
  waiting = 2_097_153;
  expect(written('e\n')).toEqual([]);
  waiting = 2_097_152;
  const told =
    '{"time":"1970-01-01T00:00:01.000000000Z","level":"warn","event":"log.dropped","count":3}\n';
  expect(written('f\n', 'g\n')).toEqual([told, 'f\n', 'g\n']);
  waiting = 4_194_304;
  expect(written('h\n')).toEqual(['h\n']);
  waiting = Number.POSITIVE_INFINITY;
  expect(written('i\n')).toEqual([]);
  expect(dropped()).toBe(4);
});

it('a write that failed is tried again after a second', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  expect(processIo.errWaiting?.()).toBe(0);
  process.stderr.emit('error', new Error('ENOSPC'));
  vi.advanceTimersByTime(999);
  expect(processIo.errWaiting?.()).toBe(Number.POSITIVE_INFINITY);
  vi.advanceTimersByTime(1);
  expect(processIo.errWaiting?.()).toBe(0);
  vi.useRealTimers();
});

it.skipIf(waitsForReader)('a sidecar whose stderr stalls decides on', async () => {
  const sidecar = await spawnSidecar(folder.path);
  const { child, socketPath } = sidecar;
  child.stderr!.pause();
  const bytes = questions(RECORDS);
  for (let call = 0; call < CALLS; call++) expect(await post(socketPath, bytes)).toBe(200);
  child.stderr!.resume();
  // The next lines tell what was dropped, once the first have been taken.
  let calls = CALLS;
  while (!sidecar.err.includes('"event":"log.dropped"') && calls < 2 * CALLS) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await post(socketPath, bytes)).toBe(200);
    calls += 1;
  }
  expect(await sidecar.stop()).toBe(0);
  const events = sidecar.err
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string; count: number });
  const decisions = events.filter(({ event }) => event === 'decision').length;
  const dropped = events.filter(({ event }) => event === 'log.dropped');
  expect(dropped).toHaveLength(1);
  expect(decisions + dropped[0]!.count).toBe(calls * RECORDS);
  expect(dropped[0]!.count).toBeGreaterThan(RECORDS);
});

it('a sidecar whose stderr nobody reads any more decides on', async () => {
  const sidecar = await spawnSidecar(folder.path);
  const { child, socketPath } = sidecar;
  child.stderr!.destroy();
  for (let call = 0; call < 3; call++) expect(await post(socketPath, questions(10))).toBe(200);
  const { text } = await send({ socketPath }, '/metrics');
  expect(Number(/^cephgate_log_dropped_total ([0-9]+)$/m.exec(text)?.[1])).toBeGreaterThan(10);
  expect(await sidecar.stop()).toBe(0);
});

/** So many records that are refused, each with a line. */
function questions(count: number): Uint8Array {
  return frames((writer) => {
    for (let tag = 0; tag < count; tag++) {
      writer.verify({ service: OSD, authorizer: new Uint8Array(1), peer: PEER } as never, tag);
    }
  });
}

function post(socketPath: string, bytes: Uint8Array): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'localhost', 'content-type': 'application/octet-stream' };
    const asked = request(
      { socketPath, path: '/v1/frames', method: 'POST', headers },
      (response) => {
        response.on('end', () => resolve(response.statusCode)).resume();
      },
    );
    asked.on('error', reject).end(bytes);
  });
}

/** Denials: 40,000 lines of some 250 bytes. */
const RECORDS = 1_000;
const CALLS = 40;
