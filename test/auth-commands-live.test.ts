/** Seeded commands, one after the other, given to our store and to the installed real monitor. */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandDeps, runCommand } from '../src/auth/commands.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { commandDeps, load, monKeyring } from './auth-kit.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import type { JsonLines } from './jsonlines.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const COMMANDS = Number(process.env.AUTH_COMMANDS ?? 400);

describe.skipIf(cephMissing('ceph-mon'))(`auth commands of Ceph 16 (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let monitor: JsonLines;
  let deps: CommandDeps;

  beforeAll(async () => {
    cluster = await Cluster.start();
    monitor = cluster.operations(MONITOR);
    const own = await cluster.command({ prefix: 'auth get-key', entity: 'mon.' });
    deps = commandDeps({ monKeyring: monKeyring(own.out) });
    await load(deps.store, (await cluster.command({ prefix: 'auth export' })).out);
  }, 120_000);

  afterAll(async () => {
    await monitor?.end();
    await cluster?.stop();
  });

  it(`answers ${COMMANDS} commands alike (seed ${seed})`, { timeout: 300_000 }, async () => {
    const rng = new Rng(seed);
    const names = new Map<string, string>();
    for (let step = 0; step < COMMANDS; step++) {
      const { cmd, input } = randomCommand(rng);
      const theirs = (await monitor.ask({ cmd, input })) as Reply;
      const { prefix, ...args } = cmd;
      const inbuf = new TextEncoder().encode(input);
      const { retcode, status, output } = await runCommand(deps, { prefix, args, inbuf });
      for (const [i, key] of (output.match(KEY) ?? []).entries()) {
        const other = theirs.out.match(KEY)?.[i];
        if (other !== undefined && !names.has(key)) names.set(key, other);
      }
      const renamed = (text: string) => text.replace(KEY, (key) => names.get(key) ?? key);
      const ours = { rc: retcode, out: renamed(output), err: renamed(status) };
      expect({ step, cmd, input, ...ours }).toEqual({ step, cmd, input, ...theirs });
    }
    // A key of ours stands for one of theirs.
    expect(new Set(names.values()).size).toBe(names.size);
  });
});

interface Reply {
  readonly rc: number;
  readonly out: string;
  readonly err: string;
}

type Command = { readonly prefix: string } & Readonly<Record<string, string | readonly string[]>>;

function randomCommand(rng: Rng): { readonly cmd: Command; readonly input: string } {
  const verb = rng.pick(VERBS);
  const format = rng.chance(0.4) ? { format: rng.pick(FORMATS) } : {};
  if (verb === 'ls' || verb === 'import') {
    const input = verb === 'import' ? randomKeyring(rng) : '';
    return { cmd: { prefix: `auth ${verb}`, ...format }, input };
  }
  const words = Array.from({ length: rng.int(4) }, () => [rng.pick(SERVICES), rng.pick(CAPS)]);
  const caps = words.flat().slice(rng.chance(0.05) ? 1 : 0);
  const withCaps = WRITES.includes(verb) && rng.chance(0.8) ? { caps } : {};
  const entity = rng.pick(NAMES);
  const input = verb === 'add' && rng.chance(0.3) ? randomKeyring(rng) : '';
  return { cmd: { prefix: `auth ${verb}`, entity, ...withCaps, ...format }, input };
}

/** One section, or several that all have caps: the real import takes half of other keyrings. */
function randomKeyring(rng: Rng): string {
  if (rng.chance(0.1)) return rng.pick(['junk\n', '[foo]\nkey = x\n', '[client.a]\nkey = zz\n']);
  const count = 1 + rng.int(3);
  const sections = Array.from({ length: count }, () => {
    const key = new CryptoKey(1, { seconds: rng.u32(), nanoseconds: rng.u32() }, rng.bytes(16));
    const caps = Array.from({ length: rng.int(3) + (count > 1 ? 1 : 0) }, () => {
      const text = rng.pick(CAPS).replaceAll('"', '\\"');
      return `\tcaps ${rng.pick(SERVICES)} = "${text}"\n`;
    });
    return `[${rng.pick(PLAIN_NAMES)}]\n\tkey = ${key.toBase64()}\n${caps.join('')}`;
  });
  return sections.join('');
}

const VERBS = [
  ...['ls', 'get', 'get-key', 'print-key', 'export', 'add', 'add', 'get-or-create', 'caps'],
  ...['get-or-create', 'get-or-create-key', 'caps', 'rm', 'del', 'import'],
];
const WRITES = ['add', 'get-or-create', 'get-or-create-key', 'caps'];
const FORMATS = ['json', 'json-pretty', 'xml', 'xml-pretty', 'plain', 'yaml', 'nonsense'];
const PLAIN_NAMES = ['client.a', 'client.b', 'osd.9', 'osd.10', 'mgr.x', 'mds.'];
const NAMES = [
  ...PLAIN_NAMES,
  ...['client.a b', 'client.é', 'client.<&\'">', 'client.\\', 'auth.x', 'mon.', 'mon.a'],
  ...['client.\t', 'client.x\ny', '', 'x', 'user.x', ' client.a', 'client'],
];
const SERVICES = ['mon', 'mon', 'osd', 'osd', 'mds', 'mgr', 'xyz', ''];
const CAPS = [
  ...['allow r', 'allow rw', 'allow *', 'allow', '  allow r  ', 'allow  r', 'profile osd'],
  ...['allow rw pool=a', 'allow r network 10.0.0.0/99', 'allow r path=/a', 'bad', 'allow rwq'],
  ...['', ' ', 'allow command "auth get" with entity="client.q"', 'allow r, allow w', 'allow r,'],
  ...['allow rw pool="a b"', "allow rw pool='<&>'"],
];
const KEY = /A[AQ][A-Za-z0-9+/]{14,}=*/g;

const MONITOR = `
import json, rados, sys
cluster = rados.Rados(conffile=sys.argv[1], name="client.admin")
cluster.connect(timeout=60)
for line in sys.stdin:
    ask = json.loads(line)
    rc, out, err = cluster.mon_command(json.dumps(ask["cmd"]), ask["input"].encode(), timeout=60)
    print(json.dumps({"rc": rc, "out": out.decode("utf-8", "replace"), "err": err}), flush=True)
cluster.shutdown()
`;
