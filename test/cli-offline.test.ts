/** `cephgate verify --offline`: what is inside, what failed, and the verdicts of real daemons. */

import { Buffer } from 'node:buffer';
import { afterAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { encodeHex } from '../src/http/codec.ts';
import { formatSecrets, type Secret } from '../src/http/secretsfile.ts';
import { HOUR_NS, NOW_NS } from './authorizers.ts';
import { privateFile, type Run, run } from './cli-kit.ts';
import { AES_ID, aes256kSecret, b64, osdTicket, SECRETS } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';
import { fromHex, loadVectors } from './twin/load.ts';

const folder = temporaryFolder('offline');
afterAll(folder.remove);
const secrets = privateFile(folder.path, 'secrets.json', formatSecrets(SECRETS));
const SECOND_NS = 1_000_000_000n;
const ticket = osdTicket();
const authorizer = ticket.authorizer();
const answered = ticket.authorizer(77n);

/** Judges bytes at NOW_NS; flags that are given again win. */
function judge(bytes: Uint8Array, flags: readonly string[] = []): Promise<Run> {
  const at = flags.includes('--at') ? [] : ['--at', `${NOW_NS / SECOND_NS}`];
  const service = flags.includes('--service') ? [] : ['--service', 'osd'];
  const file = flags.includes('--secrets') ? [] : ['--secrets', secrets];
  const argv = [...service, ...file, '--authorizer', '-', ...at, ...flags];
  return run(['verify', '--offline', ...argv], { input: bytes });
}

// biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
async function report(bytes: Uint8Array, flags: readonly string[] = []): Promise<any> {
  const { code, out, err } = await judge(bytes, ['--json', ...flags]);
  const document = JSON.parse(out);
  expect([err, code]).toEqual(['', document.decision ? 0 : 1]);
  return document;
}

describe('what is inside', () => {
  it('is printed as lines', async () => {
    const { code, out } = await judge(answered, ['--server-challenge', '77']);
    expect(code).toBe(0);
    const lines = Object.fromEntries(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
    );
    expect(lines).toEqual({
      decision: 'yes',
      check: 'ok',
      check_number: '0',
      reason: 'ok',
      service: 'osd',
      judged_at: '2027-01-15T08:00:00.000000000Z',
      'authorizer.bytes': `${answered.length}`,
      'authorizer.authorizer_v': '1',
      'authorizer.global_id': '4153',
      'authorizer.service': 'osd',
      'authorizer.secret_id': '2',
      'authorizer.ticket_bytes': `${ticket.blob.blob.length}`,
      'authorizer.part_b_bytes': '67',
      'ticket.entity': 'client.john',
      'ticket.global_id': '4153',
      'ticket.created': '2027-01-15T08:00:00.000000000Z',
      'ticket.expires': '2027-01-15T09:00:00.000000000Z',
      'ticket.expired': 'no',
      'ticket.allow_all': 'no',
      'ticket.caps': 'allow rw pool=liverpool',
      'ticket.ticket_key_type': 'aes256k',
      'ticket.session_key_type': 'aes256k',
      'ticket.integrity': 'mac',
      proved: 'yes',
      answers_challenge: 'yes',
    });
  });

  it('is printed as JSON', async () => {
    const document = await report(authorizer, ['--no-challenge']);
    expect(document).toMatchObject({
      decision: true,
      check: 'ok',
      proved: true,
      answers_challenge: false,
      ticket: { entity: 'client.john', caps: 'allow rw pool=liverpool', allow_all: false },
    });
  });

  it('of caps that steer a terminal is escaped', async () => {
    const steering = osdTicket({ caps: 'allow *\u001b[2J\n\u202efake', entity: 'client.\u0007' });
    const { out } = await judge(steering.authorizer(), ['--no-challenge']);
    expect(out).toContain('allow *\\u{1b}[2J\\u{a}\\u{202e}fake');
    expect(out).toContain('client.\\u{7}');
    expect(out).not.toContain('\u001b');
  });

  it('may be caps that are none, or no text', async () => {
    const none = await report(osdTicket({ caps: null }).authorizer(), ['--no-challenge']);
    expect(none.ticket).toMatchObject({ caps: null });
  });

  it.each(['aes', 'aes256k'] as const)('shows no key of type %s unless asked to', async (type) => {
    const held = osdTicket({ aes: type === 'aes', sessionType: type });
    const { sessionKey } = held;
    const forms = (key: CryptoKey): string[] => [
      key.toBase64().slice(0, -4),
      b64(key.secret).slice(0, -4),
      encodeHex(key.secret),
    ];
    for (const json of [[], ['--json']]) {
      const flags = ['--no-challenge', ...json];
      const hidden = await judge(held.authorizer(), flags);
      expect(hidden.code).toBe(0);
      for (const form of forms(sessionKey)) expect(hidden.out).not.toContain(form);
      const shown = await judge(held.authorizer(), [...flags, '--reveal-keys']);
      expect(shown.out).toContain(sessionKey.toBase64());
      expect(shown.out).toMatch(/nonce/);
      for (const form of forms(aes256kSecret)) expect(shown.out).not.toContain(form);
    }
  });
});

describe('an authorizer in a file', () => {
  const base64 = b64(authorizer);
  const hex = encodeHex(authorizer);
  it.each<[string, string | Uint8Array]>([
    ['raw', authorizer],
    ['base64', base64],
    ['base64 in lines', `${base64.replace(/.{60}/g, '$&\r\n')}\n`],
    ['hex', hex],
    ['hex in capitals and groups', `${hex.toUpperCase().replace(/.{32}/g, '$& ')}\n`],
  ])('as %s', async (name, content) => {
    const file = privateFile(folder.path, name.replaceAll(' ', '-'), content);
    const argv = ['verify', '--offline', '--service=osd', '--secrets', secrets, '--no-challenge'];
    const at = ['--at', '2027-01-15T08:00:00Z'];
    const fromFile = await run([...argv, ...at, '--authorizer', file]);
    expect(fromFile).toEqual(await judge(authorizer, ['--no-challenge']));
    expect(fromFile.code).toBe(0);
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    expect(await judge(bytes, ['--no-challenge'])).toEqual(fromFile);
  });
});

describe('the exact check that failed', () => {
  const altered = (at: number): Uint8Array => {
    const bytes = authorizer.slice();
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    return bytes;
  };
  const old = `${NOW_NS / SECOND_NS + 3_900n}`;
  const early = `${NOW_NS / SECOND_NS - 301n}`;
  const aes = osdTicket({ aes: true, sessionType: 'aes' }).authorizer();
  it.each<[string, string, Uint8Array, string[]]>([
    ['no challenge yet', 'authorizer.challenge_missing', authorizer, []],
    ['one not answered', 'authorizer.challenge_missing', authorizer, ['--server-challenge', '77']],
    ['another answered', 'authorizer.challenge_mismatch', answered, ['--server-challenge', '76']],
    ['an altered part b', 'ciphertext.mac', altered(-1), ['--no-challenge']],
    ['an altered ticket', 'ciphertext.mac', altered(30), ['--no-challenge']],
    ['another global_id', 'authorizer.global_id', altered(1), ['--no-challenge']],
    ['another service', 'authorizer.service', authorizer, ['--service', 'mds']],
    ['an unknown secret', 'authorizer.secret_unknown', altered(15), ['--no-challenge']],
    ['a mode that is none', 'authorizer.mode', new Uint8Array([10, 0, 0]), []],
    ['too short a part a', 'decode.truncated', authorizer.slice(0, 20), []],
    ['an expired ticket', 'ticket.expired', authorizer, ['--no-challenge', '--at', old]],
    ['one of the future', 'ticket.not_yet_valid', authorizer, ['--no-challenge', '--at', early]],
    ['another key type', 'policy.cipher', aes, ['--no-challenge', '--types', 'aes256k']],
  ])('%s: %s', async (_, check, bytes, flags) => {
    const document = await report(bytes, flags);
    expect([document.decision, document.check]).toEqual([false, check]);
  });

  it('is told with what could be opened, as unproved', async () => {
    const document = await report(altered(-1), ['--no-challenge']);
    expect(document.ticket.entity).toBe('client.john');
    expect(document.proved).toBe(false);
    expect(document).not.toHaveProperty('answers_challenge');
    const sealed = await report(altered(30), ['--no-challenge']);
    expect(sealed).not.toHaveProperty('ticket');
  });

  it('depends on skew and expiry', async () => {
    const flags = ['--no-challenge', '--at', old];
    expect((await report(authorizer, [...flags, '--skew', '301'])).decision).toBe(true);
    expect((await report(authorizer, [...flags, '--expiry', 'ring'])).decision).toBe(true);
    const reported = await report(authorizer, [...flags, '--expiry', 'report']);
    expect([reported.decision, reported.ticket.expired]).toEqual([true, true]);
  });

  it('depends on the policy', async () => {
    const odd = osdTicket({ aes: true, sessionType: 'aes', allowAll: true }).authorizer();
    const checkOf = async (policy: string): Promise<string> =>
      (await report(odd, ['--no-challenge', '--policy', policy])).check;
    expect(await checkOf('released')).toBe('ok');
    for (const policy of ['pr71231-order', 'pr71231-span', 'strict']) {
      expect(await checkOf(policy)).toMatch(/^harden\./);
    }
  });

  it('includes the general secret only where it counts', async () => {
    const general = { secretId: 2n ** 64n - 1n };
    const file = privateFile(
      folder.path,
      'general.json',
      formatSecrets([{ ...SECRETS[0]!, ...general }]),
    );
    const bytes = osdTicket(general).authorizer();
    const flags = ['--no-challenge', '--secrets', file];
    expect((await report(bytes, flags)).check).toBe('authorizer.secret_unknown');
    expect((await report(bytes, [...flags, '--general-secret'])).decision).toBe(true);
  });

  it('includes, where the ring decides, a secret that a daemon would have dropped', async () => {
    const key = aes256kSecret;
    const ring: Secret[] = [1n, 2n].map((secretId) => {
      return { service: 'osd', secretId, key, expiresNs: NOW_NS + secretId * HOUR_NS };
    });
    const file = privateFile(folder.path, 'ring.json', formatSecrets(ring));
    const bytes = osdTicket({ secretId: 1n }).authorizer();
    const until = 2n * HOUR_NS + NOW_NS;
    const at = (ns: bigint): string[] => ['--at', `${ns / SECOND_NS}`];
    const flags = ['--no-challenge', '--secrets', file, '--expiry', 'ring'];
    expect((await report(bytes, [...flags, ...at(until - SECOND_NS)])).decision).toBe(true);
    expect((await report(bytes, [...flags, ...at(until)])).check).toBe('authorizer.secret_unknown');
  });
});

describe('recorded from real daemons', () => {
  const RELEASED = ['--policy', 'released', '--expiry', 'ring', '--release', '16'];
  const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

  it('44 authorizers get the verdict of an MDS', async () => {
    const file = loadVectors<{
      secrets: { secret_id: string; key: string; created: number; expiration: number }[];
      rows: {
        id: string;
        result: number | null;
        server_challenge?: string;
        authorizer1: string;
        authorizer2?: string;
      }[];
    }>('observed-mds-16.2.15.json');
    const held: Secret[] = file.secrets.map(({ secret_id, key, expiration }) => ({
      service: 'mds',
      secretId: BigInt(secret_id),
      key: CryptoKey.fromBase64(key),
      expiresNs: BigInt(expiration) * SECOND_NS,
    }));
    const path = privateFile(folder.path, 'mds.json', formatSecrets(held));
    const at = `${file.secrets[0]!.created + 60}`;
    const flags = [...RELEASED, '--secrets', path, '--service', 'mds', '--at', at];
    let accepted = 0;
    for (const row of file.rows) {
      const first = await report(utf8(row.authorizer1), flags);
      const challenged = first.check === 'authorizer.challenge_missing';
      expect([row.id, challenged]).toEqual([row.id, row.server_challenge !== undefined]);
      if (row.authorizer2 === undefined) continue;
      const answer = ['--server-challenge', row.server_challenge!];
      const second = await report(fromHex(row.authorizer2), [...flags, ...answer]);
      expect([row.id, second.decision, second.check]).toEqual([
        row.id,
        row.result === 0,
        row.result === 0 ? 'ok' : second.check,
      ]);
      accepted += Number(second.decision);
    }
    expect([file.rows.length, accepted]).toEqual([44, 25]);
  });

  it('27 cases get the verdict of an OSD, by the clock of the recording', async () => {
    const file = loadVectors<{
      osd_rotating_secrets: {
        id: string;
        key: { encoded: string };
        expiration: { sec: number; nsec: number };
      }[];
      rows: {
        case: string;
        seconds_after_secret_expiry: number;
        outcome: string;
        authorizer_1: string;
        server_challenge?: string;
        authorizer_2?: string;
      }[];
    }>('authorizer-cases.json');
    const held: Secret[] = file.osd_rotating_secrets.map(({ id, key, expiration }) => ({
      service: 'osd',
      secretId: BigInt(id),
      key: CryptoKey.fromBase64(key.encoded),
      expiresNs: BigInt(expiration.sec) * SECOND_NS + BigInt(expiration.nsec),
    }));
    const path = privateFile(folder.path, 'osd.json', formatSecrets(held));
    const sealing = held.find(({ secretId }) => secretId === 2n)!;
    for (const row of file.rows) {
      const ms = BigInt(Math.round(row.seconds_after_secret_expiry * 1000));
      const now = sealing.expiresNs! + ms * 1_000_000n;
      const at = `${now / SECOND_NS}.${(now % SECOND_NS).toString().padStart(9, '0')}`;
      const flags = [...RELEASED, '--secrets', path, '--at', at];
      const first = await report(fromHex(row.authorizer_1), flags);
      const challenged = first.check === 'authorizer.challenge_missing';
      expect([row.case, challenged]).toEqual([row.case, row.authorizer_2 !== undefined]);
      if (row.authorizer_2 === undefined) continue;
      const answer = ['--server-challenge', row.server_challenge!];
      const base64 = utf8(Buffer.from(row.authorizer_2, 'hex').toString('base64'));
      const second = await report(base64, [...flags, ...answer]);
      expect([row.case, second.decision]).toEqual([row.case, row.outcome === 'ACCEPTED']);
    }
    expect(file.rows).toHaveLength(27);
  });
});

it('knows the secret of type aes by its id', async () => {
  const bytes = osdTicket({ aes: true }).authorizer();
  const { authorizer: declared, ticket: inside } = await report(bytes, ['--no-challenge']);
  expect(declared.secret_id).toBe(`${AES_ID}`);
  expect([inside.ticket_key_type, inside.integrity]).toEqual(['aes', 'none']);
});
