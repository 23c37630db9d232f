/** `cephgate caps`: what it prints and its exit codes. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from './cli-kit.ts';

const examples = new URL('./vectors/caps-examples.json', import.meta.url).pathname;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cephgate-caps-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('cephgate caps parse', () => {
  it('prints a mon cap as JSON', async () => {
    const { code, out } = await run(['caps', 'parse', 'mon', 'profile rbd ; allow *', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      parses: true,
      canonical: 'allow profile rbd, allow *',
      allowAll: true,
      grants: [
        { text: 'profile rbd', span: [0, 11] },
        { text: 'allow *', span: [14, 21] },
      ],
      error: null,
      stop: null,
    });
  });

  it('prints an osd cap for people', async () => {
    const { code, out } = await run(['caps', 'parse', '--service', 'osd', '--caps', 'allow rw']);
    expect(code).toBe(0);
    expect(out).toBe('canonical  osdcap[grant(rw)]\nallow all  no\ngrant 0    0-8: allow rw\n');
  });

  it.each([
    ['mon', ['allow r, foo'], 'mon capability parse failed, stopped at', ', foo', 7],
    ['osd', [' allow é'], 'osd capability parse failed, stopped at', 'allow é', 1],
  ])(
    'says in the words of Ceph where %s caps stop, with a caret',
    async (service, words, said, rest, at) => {
      const { code, out, err } = await run(['caps', 'parse', service, ...words]);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toBe(`${said} '${rest}' of '${words[0]}'\n  ${words[0]}\n  ${' '.repeat(at)}^\n`);
    },
  );

  it('gives the error in JSON too', async () => {
    const { code, out } = await run(['caps', 'parse', 'mgr', 'profile nosuch', '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      parses: false,
      canonical: null,
      grants: [],
      error: "mgr capability parse failed during profile evaluation: unrecognized profile 'nosuch'",
    });
  });

  it('gives the newer message of the mds, and the older one under release 16', async () => {
    const words = ['caps', 'parse', 'mds', 'allow w', '--json'];
    const newer = JSON.parse((await run(words)).out);
    expect(newer.error).toBe(
      "Permission flags in MDS capability string must be '*' or 'all' or must start with 'r'",
    );
    const older = JSON.parse((await run([...words, '--release', '16'])).out);
    expect(older.error).toBe("mds capability parse failed, stopped at 'allow w' of 'allow w'");
  });

  it('reads a cap from standard input, byte for byte', async () => {
    const input = new TextEncoder().encode('allow r\n');
    expect((await run(['caps', 'parse', 'mon', '-'], { input })).code).toBe(0);
    expect((await run(['caps', 'parse', 'osd', '-'], { input })).code).toBe(0);
    expect((await run(['caps', 'parse', 'osd', '-'], { input: Uint8Array.of(0xff) })).code).toBe(1);
  });
});

describe('cephgate caps check and explain', () => {
  it('answers from flags', async () => {
    const ask = (...flags: string[]) => run(['caps', 'check', ...flags]);
    expect(await ask('osd', 'allow r pool=a', '--pool', 'a', '--read')).toMatchObject({
      code: 0,
      out: 'yes: grant 0\n',
    });
    expect(await ask('osd', 'allow r pool=a', '--pool', 'a', '--write')).toMatchObject({
      code: 1,
      out: 'no: caps.no_matching_grant: nearest is grant 0, which fails on permission\n',
    });
    const mds = ['mds', 'allow rw path=/a', '--path', 'a/b'];
    expect((await ask(...mds, '--write')).code).toBe(0);
    expect((await ask(...mds, '--mask', 'SNAPSHOT,READ')).code).toBe(1);
    const key = ['mon', 'profile rbd-mirror', '--part', 'config-key', '--read'];
    const get = ['--command', 'config-key get', '--arg', 'key=rbd/mirror/a=b'];
    expect((await ask(...key, ...get)).code).toBe(0);
    expect((await ask(...key, '--command', 'config-key get', '--arg', 'key=x')).code).toBe(1);
    const mgr = ['mgr', 'allow module volumes rw network 10.0.0.0/8', '--module', 'volumes'];
    expect((await ask(...mgr, '--write', '--peer', '10.1.1.1')).code).toBe(0);
    expect(await ask(...mgr, '--write')).toMatchObject({
      code: 1,
      out: expect.stringContaining('no: caps.network_mismatch: nearest is grant 0'),
    });
  });

  it('answers a JSON request in either spelling', async () => {
    const request = { path: 'a', caller_uid: 5, inodeMode: 0o700, mask: ['READ'] };
    const words = ['caps', 'check', 'mds', 'allow rw uid=5', '--json', '--request'];
    const { code, out } = await run([...words, JSON.stringify(request)]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({
      decision: false,
      reason: 'caps.no_matching_grant',
      grant: 0,
      condition: 'mode',
      missing: null,
    });
  });

  it('explains grant by grant', async () => {
    const words = ['caps', 'explain', 'mon', 'allow service osd w, allow r', '--part', 'mon'];
    const { code, out } = await run([...words, '--read', '--exec']);
    expect(code).toBe(1);
    expect(out).toBe(
      'no: caps.no_matching_grant: nearest is grant 1, which fails on permission, ' +
        'no grant gives x\n' +
        'grant 0  0-19: allow service osd w: service\n' +
        'grant 1  21-28: allow r: permission (nearest)\n',
    );
    const json = await run([...words, '--read', '--json']);
    expect(json.code).toBe(0);
    expect(JSON.parse(json.out).grants).toEqual([
      { grant: 0, text: 'allow service osd w', span: [0, 19], failed: 'service' },
      { grant: 1, text: 'allow r', span: [21, 28], failed: null },
    ]);
  });

  it('is a no for a cap that does not parse', async () => {
    const { code, err } = await run(['caps', 'check', 'mon', 'nonsense']);
    expect(code).toBe(1);
    expect(err).toContain("mon capability parse failed, stopped at 'nonsense' of 'nonsense'");
  });
});

describe('cephgate caps test', () => {
  it.each(['16', '20'])('passes all examples under release %s', async (release) => {
    const { code, out } = await run(['caps', 'test', examples, '--release', release]);
    expect(out).toMatch(/^[0-9]+ passed, 0 failed, [0-9]+ skipped\n$/);
    expect(code).toBe(0);
  });

  it('finds each altered value', async () => {
    type Case = { daemon: string; cap: string; checks: { allowed: boolean }[]; parses: boolean };
    const cases = JSON.parse(readFileSync(examples, 'utf8')) as Case[];
    const first = (daemon: string): Case =>
      cases.find((each) => each.daemon === daemon && each.checks?.length > 0)!;
    for (const daemon of ['osd', 'mds', 'mon', 'mgr']) {
      first(daemon).checks[0]!.allowed = !first(daemon).checks[0]!.allowed;
    }
    cases.push({ ...first('mon'), extra: 1 } as unknown as Case, null as unknown as Case);
    cases.push({ ...first('osd'), daemon: 'rgw' });
    const path = join(folder, 'altered.json');
    writeFileSync(path, JSON.stringify(cases));
    const { code, out } = await run(['caps', 'test', path, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ failed: 7 });
  });

  it('is trouble, not a no, when the file cannot be read', async () => {
    expect((await run(['caps', 'test', join(folder, 'nosuch.json')])).code).toBe(3);
    const path = join(folder, 'object.json');
    writeFileSync(path, '{}');
    expect((await run(['caps', 'test', path])).code).toBe(3);
  });
});

describe('cephgate caps, used wrongly', () => {
  it.each([
    [[]],
    [['print']],
    [['parse', 'rgw', 'allow r']],
    [['parse', 'osd']],
    [['parse', 'osd', 'a', 'b']],
    [['parse', 'osd', 'allow r', '--pool', 'a']],
    [['check', 'osd', 'allow r', '--command', 'x']],
    [['check', 'osd', 'allow r', '--request', 'x']],
    [['check', 'osd', 'allow r', '--request', '{"pool":1}']],
    [['check', 'osd', 'allow r', '--request', '{}', '--pool', 'a']],
    [['check', 'mon', 'allow r', '--peer', '10.0.0.1:3300']],
    [['check', 'mds', 'allow r', '--mask', 'FLY']],
    [['check', 'mon', 'allow r', '--arg', 'novalue']],
    [['parse', 'mon', 'allow r', '--release', '18']],
    [['test']],
  ])('exits with 2: %j', async (words) => {
    const { code } = await run(['caps', ...words]);
    expect(code).toBe(2);
  });

  it('has a help', async () => {
    const { code, out } = await run(['help', 'caps']);
    expect(code).toBe(0);
    expect(out).toContain('usage: cephgate caps parse SERVICE TEXT');
  });
});
