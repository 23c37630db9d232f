/** Where the caps of `cephgate caps check` and `explain` stand: a text, a keyring, or a ticket. */

import type { CapsService } from '../caps/index.ts';
import { Reader, utimeNs } from '../cephx/denc.ts';
import {
  decodeAuthorizer,
  entityTypeName,
  formatEntityName,
  parseEntityName,
} from '../cephx/protocol.ts';
import type { ReasonCode } from '../engine/codes.ts';
import type { Verdict } from '../engine/verdict.ts';
import { ConfigError, FileError } from '../errors.ts';
import { formatTime } from '../http/codec.ts';
import { codeOf } from '../http/files.ts';
import { readFileBytes } from '../keyring/files.ts';
import { KeyRing } from '../keyring/keyring.ts';
import type { Io } from './io.ts';
import { challengeOf, judgeOffline, OFFLINE_OPTIONS } from './offline.ts';
import type { Option, Settings } from './options.ts';
import { refuseTogether } from './settings.ts';
import { readAuthorizer } from './verify.ts';

export interface CapsSource {
  readonly service: CapsService;
  /** Undefined where there are none for this service. */
  readonly text: string | Uint8Array | undefined;
  /** Who holds them, where that is known. */
  readonly entity?: string;
  readonly keyring?: string;
  readonly ticket?: CapsTicket;
}

/** What an authorizer said beside its caps. */
export interface CapsTicket {
  /** `ok`, or why a service would not look at the caps. */
  readonly reason: ReasonCode;
  /** Whether the caps could be read at all. */
  readonly opened: boolean;
  readonly allow_all: boolean;
  readonly expires: string | undefined;
  /** Whether the client answered the challenge that was given. */
  readonly proved: boolean;
}

/** Reads the caps. Throws ConfigError, FileError. */
export async function capsSource(
  words: readonly string[],
  settings: Settings,
  io: Io,
): Promise<CapsSource> {
  refuseTogether(settings, ['caps', 'keyring', 'ticket']);
  const left = [...words];
  const named = settings.oneOf('service', SERVICES) ?? left.shift();
  if (named !== undefined && !isService(named)) throw noService(named);
  const elsewhere = settings.origin('keyring') ?? settings.origin('ticket');
  const text = elsewhere === undefined ? (settings.text('caps') ?? left.shift()) : undefined;
  if (left.length > 0) throw new ConfigError('config.unknown', `unexpected word "${left[0]}"`);
  refuseOrphans(settings);
  if (settings.origin('ticket') !== undefined) return fromTicket(named, settings, io);
  if (named === undefined) throw noService('');
  if (elsewhere !== undefined) return fromKeyring(named, settings);
  if (text === undefined) throw new ConfigError('config.value', 'the text of the cap is missing');
  return { service: named, text: text === '-' ? await io.readInput() : text };
}

function fromKeyring(service: CapsService, settings: Settings): CapsSource {
  const keyring = settings.required('keyring');
  const name = parseEntityName(settings.required('name'));
  if (name === undefined) throw settings.wrong('name', 'TYPE.ID, as client.x');
  const entity = formatEntityName(name);
  const bytes = bytesOf(keyring);
  const ring = KeyRing.parse(bytes, settings.text('release') === '16' ? 16 : 20);
  bytes.fill(0);
  const held = ring.get(name);
  ring.wipe();
  if (held === undefined) {
    throw new FileError('file.content', `cannot find ${entity} in "${keyring}": not there`);
  }
  return { service, text: held.caps.get(service), entity, keyring };
}

function bytesOf(path: string): Uint8Array {
  try {
    return readFileBytes(path);
  } catch (error) {
    throw new FileError('file.missing', `cannot read "${path}": ${codeOf(error)}`);
  }
}

async function fromTicket(
  named: CapsService | undefined,
  settings: Settings,
  io: Io,
): Promise<CapsSource> {
  const authorizer = await readAuthorizer(settings.required('ticket'), io);
  const service = named ?? declaredService(authorizer);
  if (service === undefined || service === 'mon' || !isService(service)) {
    throw new ConfigError('config.value', 'name the service of the ticket: osd, mds, mgr');
  }
  const given = settings.origin('server-challenge') !== undefined;
  const challenge = given ? challengeOf(settings) : ({ mode: 'off' } as const);
  return judgeOffline(settings, { service, authorizer }, challenge, (verdict) => {
    const opened = verdict.info !== 0;
    const ticket: CapsTicket = {
      reason: verdict.reason,
      opened,
      allow_all: verdict.allowAll,
      expires: opened ? formatTime(utimeNs(verdict.expires)) : undefined,
      proved: given && verdict.proven && verdict.reason !== 'authorizer.challenge_mismatch',
    };
    return { service, ...contents(verdict, opened), ticket };
  });
}

function contents(verdict: Verdict, opened: boolean): Pick<CapsSource, 'text' | 'entity'> {
  if (!opened) return { text: undefined };
  const entity = formatEntityName({ type: verdict.entityType, id: verdict.entityId });
  // Ceph: a service does not read the text beside allow_all.
  const none = verdict.allowAll || verdict.caps === '';
  return { text: none ? undefined : verdict.caps, entity };
}

/** The service that an authorizer names in the clear. */
function declaredService(authorizer: Uint8Array): string | undefined {
  try {
    return entityTypeName(decodeAuthorizer(new Reader(authorizer)).serviceId);
  } catch {
    return undefined;
  }
}

/** Flags that mean something only beside another one. */
function refuseOrphans(settings: Settings): void {
  for (const [name, beside] of BESIDE) {
    if (settings.origin(name) === `--${name}` && settings.origin(beside) === undefined) {
      throw new ConfigError('config.value', `"--${name}" is given without "--${beside}"`);
    }
  }
}

function isService(name: string): name is CapsService {
  return SERVICES.includes(name as CapsService);
}

function noService(name: string): ConfigError {
  return new ConfigError('config.value', `no service "${name}": osd, mds, mon, mgr`);
}

const SERVICES = ['osd', 'mds', 'mon', 'mgr'] as const;
const TICKET_FLAGS = OFFLINE_OPTIONS.filter(
  ({ name }) => !['no-challenge', 'reveal-keys', 'release', 'config'].includes(name),
);
const BESIDE: readonly (readonly [string, string])[] = [
  ['name', 'keyring'],
  ...TICKET_FLAGS.map(({ name }) => [name, 'ticket'] as const),
];

/** The text itself: all that `caps parse` takes. */
export const TEXT_OPTIONS: readonly Option[] = [
  { name: 'service', value: 'S', help: 'osd, mds, mon, mgr; or as a word' },
  { name: 'caps', value: 'TEXT', help: 'the cap; or as a word, - for standard input' },
];

export const SOURCE_OPTIONS: readonly Option[] = [
  ...TEXT_OPTIONS,
  { name: 'keyring', value: 'FILE', help: 'instead of a text: the caps in a keyring' },
  { name: 'name', value: 'ENTITY', help: 'of this entity in the keyring, as client.x' },
  { name: 'ticket', value: 'F|-', help: 'instead of a text: the caps in this authorizer' },
  ...TICKET_FLAGS,
];
