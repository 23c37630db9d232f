/** The calls of the README, one for each route, as they stand there, beside a sidecar. */

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApiDocument } from '../src/http/openapi.ts';
import { type SpawnedSidecar, spawnSidecar, temporaryFolder } from './spawn.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = process.env.CEPHGATE_TEST_DIST ?? join(root, 'dist');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const lines = /<!-- example: curl -->\n```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
const hasTools = ['curl --version', 'bash --version'].every((words) => {
  const [name, ...args] = words.split(' ');
  return spawnSync(name!, args).status === 0;
});
const onNode = !('Deno' in globalThis);
if (!hasTools && process.env.REQUIRE_SERVICES === '1') throw new Error('apt-get install curl');
const folder = temporaryFolder('readme-curl');
let sidecar: SpawnedSidecar;

describe.skipIf(!hasTools || !onNode)(
  'curl (apt-get install curl): the calls of the README',
  () => {
    beforeAll(async () => {
      sidecar = await spawnSidecar(folder.path, undefined, ['--sign']);
    });
    afterAll(async () => {
      await sidecar?.stop();
      folder.remove();
    });

    it('are one for every route', () => {
      const { paths } = openApiDocument('1') as { paths: Record<string, unknown> };
      expect(Object.keys(paths).length).toBeGreaterThan(10);
      for (const path of Object.keys(paths)) {
        const spelled = path.replaceAll(/\{[^}]*\}/g, '$session');
        expect(lines, path).toContain(`http://localhost${spelled}`);
      }
    });

    it('are answered', async () => {
      const { code, out, err } = await bash();
      expect([code, err]).toEqual([0, '']);
      expect(out).toContain('{"status":"live"}');
      expect(out).toContain('"code":"authorizer.challenge_required"');
      expect(out).toContain('"challenge_state":"');
      expect(out.split('"code":"session.unknown"')).toHaveLength(4);
      expect(out).toContain('{"released":false}');
      expect(out).toMatch(/"decision":true[\s\S]*"entity":"client.admin"/);
      expect(out).toMatch(/^0000000 [0-9a-f]{2} 00 00 00 /m);
    }, 60_000);
  },
);

/** With our own command in place of npx. */
function bash(): Promise<{ code: number | null; out: string; err: string }> {
  const own = `npx() { shift; '${process.execPath}' '${join(dist, 'src/cli/main.js')}' "$@"; }`;
  const script = `set -eu\n${own}\n${lines}`;
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', script], { cwd: folder.path });
    const late = setTimeout(() => child.kill('SIGKILL'), 50_000);
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(late);
      resolve({ code, out, err });
    });
  });
}
