/** The lines of the README for whoever writes a storage daemon, run as they stand. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ServiceAuthorizer } from '../src/cephx/client.ts';
import { Engine } from '../src/engine/engine.ts';
import { makeTicket } from './authorizers.ts';
import { randomBytes } from './mon-fake.ts';
import { MonKit, threeSecrets, until } from './mon-kit.ts';
import { base64, fromBase64 } from './mon-sidecar.ts';
import { spawnSidecar, temporaryFolder } from './spawn.ts';
import { twinSealer } from './twin/sealer.ts';

const folder = temporaryFolder('daemon');
const readme = join(dirname(fileURLToPath(import.meta.url)), '..', 'README.md');
/** The daemon's own messenger: files stand for frames. */
const MESSENGER = `
receive() { for i in $(seq 600); do [ -e "$1" ] && cat "$1" && return; sleep 0.05; done; }
send() { printf %s "$2" > "$1.part" && mv "$1.part" "$1"; }
`;
let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterAll(async () => {
  await kit.end();
  folder.remove();
});

const isMissing = ['curl', 'bash'].some((each) => spawnSync(each, ['--version']).status !== 0);

it.skipIf(isMissing)(
  'lets a client in and checks its operation, in 15 lines',
  async () => {
    const text = readFileSync(readme, 'utf8');
    const lines = /<!-- example: daemon -->\n```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
    expect(lines.trimEnd().split('\n').length).toBeLessThanOrEqual(15);
    const rotating = threeSecrets();
    const secret = rotating.secrets.get(2n)!.key;
    const createdNs = BigInt(Date.now()) * 1_000_000n;
    const { blob, sessionKey } = makeTicket(secret, randomBytes, { createdNs });
    const ticket = { globalId: 4153n, serviceId: 4, sessionKey, blob };
    const client = new ServiceAuthorizer(twinSealer, ticket, randomBytes);
    const { address } = await kit.monitor({ rotating: () => rotating });
    const keyring = join(folder.path, 'keyring');
    writeFileSync(keyring, `[osd.0]\n\tkey = ${kit.key.toBase64()}\n`, { mode: 0o600 });
    const monHost = `v2:127.0.0.1:${address.port}`;
    const flags = ['--mon-host', monHost, '--name', 'osd.0', '--keyring', keyring];
    const sidecar = await spawnSidecar(folder.path, undefined, flags);
    const daemon = spawn('bash', ['-c', MESSENGER + lines], { cwd: folder.path });
    let said = '';
    daemon.stdout.on('data', (bytes: Uint8Array) => {
      said += new TextDecoder().decode(bytes);
    });
    const ended = new Promise((resolve) => daemon.on('close', resolve));
    try {
      send('AUTH_REQUEST', client.first());
      const answer = client.answer(await receive('AUTH_REPLY_MORE'));
      if (!answer.ok) throw new Error(answer.reason);
      send('AUTH_REQUEST_MORE', answer.value);
      expect(client.verifyReply(await receive('AUTH_DONE'), { secure: false }).ok).toBe(true);
      expect(await ended).toBe(0);
    } finally {
      daemon.kill('SIGKILL');
      await sidecar.stop();
    }
    expect(said).toMatch(/^\{"decision":true,"authenticated":true,.*"entity":"client\.john"/);
    expect(said).toMatch(/\{"released":true\}$/);
  },
  60_000,
);

function send(name: string, bytes: Uint8Array): void {
  const path = join(folder.path, name);
  writeFileSync(`${path}.part`, base64(bytes));
  renameSync(`${path}.part`, path);
}

async function receive(name: string): Promise<Uint8Array> {
  const path = join(folder.path, name);
  await until(() => existsSync(path), 30_000);
  return fromBase64(readFileSync(path, 'utf8'));
}
