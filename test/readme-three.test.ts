/** The README's three members and three instances, as they stand there, on ports that are free. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ETCD_NAME, etcdMissing, freePorts } from './etcd.ts';
import { temporaryFolder } from './spawn.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = temporaryFolder('three-nodes');
afterAll(folder.remove);

describe.skipIf(etcdMissing)(`${ETCD_NAME}: the three nodes of the README`, () => {
  it('log in at one, verify at another, back up and restore', async () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const lines = /<!-- example: three -->\n```sh\n([\s\S]*?)```/.exec(readme)![1]!;
    const { code, out } = await bash(await onFreePorts(lines));
    expect([code, out]).toEqual([0, expect.stringContaining('client.john')]);
    const copies = [...out.matchAll(/^copied (\d+) entries, SHA-256 ([0-9a-f]{64})$/gm)];
    expect(copies).toHaveLength(2);
    expect(copies[1]!.slice(1)).toEqual(copies[0]!.slice(1));
    expect(Number(copies[0]![1])).toBeGreaterThan(5);
  }, 240_000);
});

/** Ports are written as a beginning and `$i`, or whole: each gets one of its own. */
async function onFreePorts(lines: string): Promise<string> {
  const spelled = lines.replaceAll(/for i in 1 2 3; do\n([\s\S]*?)\ndone/g, (_, body: string) =>
    ['1', '2', '3'].map((i) => body.replaceAll('$i', i)).join('\n'),
  );
  const named = [
    ...new Set([...spelled.matchAll(/127\.0\.0\.1:(\d{4})/g)].map(([, port]) => port!)),
  ];
  expect(named).toHaveLength(9);
  const ports = await freePorts(named.length);
  return named.reduce(
    (text, port, i) => text.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${ports[i]}`),
    spelled,
  );
}

/**
 * Runs it with our command; whatever it has started ends with it, the last first: an instance that
 * has its etcd ends at once, one without tries for seconds to give its leases back.
 */
function bash(lines: string): Promise<{ code: number | null; out: string }> {
  const dist = process.env.CEPHGATE_TEST_DIST ?? join(root, 'dist');
  const command = `'${process.execPath}' '${join(dist, 'src/cli/main.js')}'`;
  const script = [
    'set -eu',
    "trap 'for p in $(jobs -p | tac); do kill $p 2>/dev/null || :; wait $p || :; done' EXIT",
    lines.replaceAll('npx cephgate', command),
  ];
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', script.join('\n')], { cwd: folder.path });
    const late = setTimeout(() => child.kill('SIGTERM'), 200_000);
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        out += text;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(late);
      resolve({ code, out });
    });
  });
}
