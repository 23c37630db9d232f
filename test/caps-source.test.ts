/** `cephgate caps explain`: why an entity of a keyring, or the client of a ticket, may not. */

import { afterAll, describe, expect, it } from 'vitest';
import { cephgate } from '../src/cli/cephgate.ts';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { NOW_NS } from './authorizers.ts';
import { privateFile, run } from './cli-kit.ts';
import { aesSecret, osdTicket, SECRETS } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('source');
afterAll(folder.remove);
const OSD_CAPS = 'allow rw pool=a, allow r pool=b';
const keyring = privateFile(
  folder.path,
  'keyring',
  `[client.x]\n\tkey = ${aesSecret.toBase64()}\n\tcaps osd = "${OSD_CAPS}"\n` +
    '\tcaps mon = "profile osd"\n\n' +
    `[osd.3]\n\tkey = ${aesSecret.toBase64()}\n\tcaps mon = "allow profile osd"\n`,
);
const secrets = privateFile(folder.path, 'secrets.json', formatSecrets(SECRETS));
const EXPLAIN = ['caps', 'explain'];
const OF_X = ['--keyring', keyring, '--name', 'client.x'];
const WRITE_B = ['--pool', 'b', '--object', 'o', '--write'];
const AT = ['--at', `${NOW_NS / 1_000_000_000n}`];

describe('caps of a keyring', () => {
  it('are explained for the entity', async () => {
    const { code, out, err } = await run([...EXPLAIN, 'osd', ...OF_X, ...WRITE_B]);
    expect([code, err]).toEqual([1, '']);
    expect(out).toBe(
      'no: caps.no_matching_grant: nearest is grant 1, which fails on permission\n' +
        `client.x has osd caps in "${keyring}"\n` +
        'grant 0  0-15: allow rw pool=a: pool\n' +
        'grant 1  17-31: allow r pool=b: permission (nearest)\n',
    );
    const read = await run([...EXPLAIN, 'osd', ...OF_X, '--pool', 'b', '--read', '--json']);
    expect(read.code).toBe(0);
    expect(JSON.parse(read.out)).toMatchObject({ decision: true, grant: 1, entity: 'client.x' });
    expect(read.out + out).not.toContain(aesSecret.toBase64());
  });

  it('are asked by the entity itself', async () => {
    const put = ['--part', 'config-key', '--command', 'config-key put', '--exec', '--write'];
    const own = [...put, '--arg', 'key=daemon-private/osd.3/k'];
    const of = (name: string) => ['mon', '--keyring', keyring, '--name', name];
    expect((await run(['caps', 'check', ...of('osd.3'), ...own])).code).toBe(0);
    expect((await run(['caps', 'check', ...of('client.x'), ...own])).code).toBe(1);
    const as = [...of('osd.3'), ...own, '--entity', 'osd.4'];
    expect((await run(['caps', 'check', ...as])).code).toBe(1);
  });

  it('may be missing: that is a no, and an entity that is missing is trouble', async () => {
    const none = await run([...EXPLAIN, 'mds', ...OF_X, '--path', 'a', '--read']);
    expect(none).toMatchObject({
      code: 1,
      out: `no: caps.none\nclient.x has no mds caps in "${keyring}"\n`,
    });
    const nobody = ['--keyring', keyring, '--name', 'client.nobody'];
    const { code, err } = await run([...EXPLAIN, 'osd', ...nobody, ...WRITE_B]);
    expect([code, err]).toEqual([
      3,
      `cephgate caps: cannot find client.nobody in "${keyring}": not there\n`,
    ]);
    const nowhere = ['--keyring', `${keyring}.not`, '--name', 'client.x'];
    expect((await run([...EXPLAIN, 'osd', ...nowhere, ...WRITE_B])).code).toBe(3);
  });
});

describe('caps of a ticket', () => {
  const ask = (bytes: Uint8Array, flags: readonly string[]) =>
    run([...EXPLAIN, '--ticket', '-', '--secrets', secrets, ...AT, ...flags], { input: bytes });
  const ticket = osdTicket({ caps: OSD_CAPS });

  it('are explained without a proof', async () => {
    const { code, out } = await ask(ticket.authorizer(), WRITE_B);
    expect(code).toBe(1);
    expect(out).toBe(
      'no: caps.no_matching_grant: nearest is grant 1, which fails on permission\n' +
        'client.john has osd caps in a ticket until 2027-01-15T09:00:00.000000000Z; ' +
        'nothing is proved: no answer to a challenge was judged\n' +
        'grant 0  0-15: allow rw pool=a: pool\n' +
        'grant 1  17-31: allow r pool=b: permission (nearest)\n',
    );
  });

  it('are explained with one, and not allowed to who fails it', async () => {
    const read = ['--pool', 'b', '--read', '--server-challenge', '77'];
    const good = await ask(ticket.authorizer(77n), read);
    expect([good.code, good.out]).toEqual([0, expect.stringContaining('answered the challenge')]);
    const bad = await ask(ticket.authorizer(78n), read);
    expect(bad.code).toBe(1);
    expect(bad.out).toContain(
      'no: authorizer.challenge_mismatch: the ticket is refused; its caps: yes',
    );
    expect(bad.out).toContain('did not answer this challenge');
    const json = JSON.parse((await ask(ticket.authorizer(77n), [...read, '--json'])).out);
    expect(json).toMatchObject({
      decision: true,
      entity: 'client.john',
      ticket: { reason: 'ok', opened: true, allow_all: false, proved: true },
    });
  });

  it('do not count when the ticket has expired, is of another service, or stays closed', async () => {
    const authorizer = ticket.authorizer();
    const file = privateFile(folder.path, 'authorizer', authorizer);
    const words = [...EXPLAIN, '--ticket', file, '--secrets', secrets, '--pool', 'b', '--read'];
    const expired = await run([...words, '--at', '2027-02-15T09:00:00Z']);
    expect([expired.code, expired.out.split('\n')[0]]).toEqual([
      1,
      'no: ticket.expired: the ticket is refused; its caps: yes: grant 1',
    ]);
    const other = await run([...EXPLAIN, 'mds', ...words.slice(2, 6), '--path', 'a', '--read']);
    expect(other).toMatchObject({
      code: 1,
      out: 'no: authorizer.service: the ticket is refused\n',
    });
    const altered = Uint8Array.from(authorizer);
    altered[60]! ^= 1;
    expect(await ask(altered, WRITE_B)).toMatchObject({
      code: 1,
      out: 'no: authorizer.invalid: the ticket is refused\n',
    });
    expect((await ask(Uint8Array.of(9, 9), WRITE_B)).code).toBe(2);
  });

  it('do not matter beside allow_all, and may be none', async () => {
    const all = await ask(osdTicket({ allowAll: true, caps: 'nonsense' }).authorizer(), WRITE_B);
    expect([all.code, all.out.split('\n')[0]]).toEqual([0, 'yes: the ticket allows all']);
    const none = await ask(osdTicket({ caps: null }).authorizer(), WRITE_B);
    expect([none.code, none.out.split('\n')[0]]).toEqual([1, 'no: caps.none']);
  });

  it('cannot steer a terminal', async () => {
    for (const caps of ['allow *\u001b[2J\u202e', 'allow r pool="\u001b[2J\u202e"']) {
      const { out, err } = await ask(osdTicket({ caps }).authorizer(), WRITE_B);
      for (const steering of ['\u001b', '\u202e']) expect(out + err).not.toContain(steering);
      expect(out + err).toContain('\\u{1b}[2J');
    }
  });
});

describe('a picture', () => {
  async function drawn(words: readonly string[]): Promise<string> {
    let out = '';
    const keep = (text: string): void => {
      out += text;
    };
    const readInput = async () => new Uint8Array(0);
    await cephgate([...EXPLAIN, ...words], {
      env: {},
      terminal: true,
      out: keep,
      err: keep,
      readInput,
    });
    return out;
  }

  it('is what a terminal gets', async () => {
    expect(await drawn(['osd', OSD_CAPS, ...WRITE_B])).toBe(
      'no: caps.no_matching_grant: nearest is grant 1, which fails on permission\n' +
        '  allow rw pool=a, allow r pool=b\n' +
        '  ~~~~~~~~~~~~~~~                  grant 0: pool\n' +
        '                   ~~~~~~~~~~~~~~  grant 1: permission (nearest)\n',
    );
    const odd = await drawn(['mon', 'allow command "é\t" , allow r', '--part', 'mon', '--read']);
    expect(odd).toContain('  allow command "é\\u{9}" , allow r\n');
    expect(odd).toContain('\n                           ~~~~~~~  grant 1: allows\n');
  });

  it('is not made of long caps', async () => {
    const long = await drawn(['osd', `${OSD_CAPS}, `.repeat(20).slice(0, -2), ...WRITE_B]);
    expect(long).toContain('grant 1  17-31: allow r pool=b: permission (nearest)\n');
  });
});

describe('sources used wrongly', () => {
  it.each([
    [['osd', 'allow r', ...OF_X]],
    [['osd', '--keyring', keyring]],
    [['osd', '--keyring', keyring, '--name', 'nonsense']],
    [[...OF_X]],
    [['osd', 'allow r', '--name', 'client.x']],
    [['osd', 'allow r', '--secrets', secrets]],
    [['osd', ...OF_X, '--ticket', '-']],
    [['osd', '--ticket', '-']],
    [['mon', '--ticket', '-', '--secrets', secrets]],
  ])('exits with 2: %j', async (words) => {
    const input = osdTicket().authorizer();
    expect((await run([...EXPLAIN, ...words], { input })).code).toBe(2);
  });

  it('is trouble where the keyring cannot be read, and quotes no key', async () => {
    const wrong = privateFile(folder.path, 'wrong', '[client.x]\n\tkey = nonsense\n');
    const words = ['osd', '--keyring', wrong, '--name', 'client.x', ...WRITE_B];
    const { code, err } = await run([...EXPLAIN, ...words]);
    expect(code).toBe(3);
    expect(err).not.toContain('nonsense');
  });
});
