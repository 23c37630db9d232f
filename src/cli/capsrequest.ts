/** The operation that `cephgate caps check` and `explain` ask about: JSON or flags. */

import { type CapsRequest, type CapsService, readRequest } from '../caps/index.ts';
import { ConfigError } from '../errors.ts';
import type { Option, Settings } from './options.ts';

export const REQUEST_OPTIONS: readonly Option[] = [
  { name: 'request', value: 'JSON', help: 'the operation, with all its fields' },
  { name: 'peer', value: 'ADDR', help: 'address of the client, else no network fits' },
  { name: 'read', help: 'the operation reads' },
  { name: 'write', help: 'the operation writes' },
  { name: 'exec', help: 'mon, mgr: the command needs x' },
  { name: 'pool', value: 'NAME', help: 'osd' },
  { name: 'namespace', value: 'NAME', help: 'osd' },
  { name: 'object', value: 'NAME', help: 'osd' },
  { name: 'path', value: 'PATH', help: 'mds: an inode 0755 of root' },
  { name: 'uid', value: 'N', help: 'mds: who calls, default 0' },
  { name: 'gid', value: 'N', help: 'mds, default 0' },
  { name: 'mask', value: 'LIST', help: 'mds: further needs, as CHOWN,SNAPSHOT' },
  { name: 'entity', value: 'NAME', help: 'mon, mgr: who calls' },
  {
    name: 'part',
    value: 'NAME',
    help: "mon, mgr: the request's service, as osd, auth, config-key",
  },
  { name: 'module', value: 'NAME', help: 'mgr' },
  { name: 'command', value: 'PREFIX', help: 'mon, mgr: the words of the command' },
  { name: 'arg', value: 'KEY=VALUE', repeatable: true, help: 'mon, mgr: its arguments' },
];

/**
 * The request; a mon or mgr is asked by `entity` unless it names another caller. Throws ConfigError
 * for one that does not go with the service.
 */
export function capsRequest(
  service: CapsService,
  settings: Settings,
  entity?: string,
): CapsRequest {
  const peer = settings.text('peer');
  const caller = (service === 'mon' || service === 'mgr') && entity !== undefined;
  const fields = {
    ...(caller && { entity }),
    ...fieldsOf(service, settings),
    ...(peer !== undefined && { addr: peer }),
  };
  const request = readRequest(service, fields);
  if (typeof request === 'string') throw new ConfigError('config.value', request);
  return request;
}

function fieldsOf(service: CapsService, settings: Settings): Record<string, unknown> {
  const given = [...FLAG_FIELDS.keys()].filter((name) => settings.origin(name) !== undefined);
  if (settings.origin('request') !== undefined) {
    if (given.length > 0) {
      throw new ConfigError(
        'config.value',
        `"--request" and "--${given[0]}" cannot be given together`,
      );
    }
    return fromJson(settings);
  }
  const fields: Record<string, unknown> = {};
  const mask: string[] = [];
  for (const name of given) {
    const field = FLAG_FIELDS.get(name)!;
    if (name === 'mask') mask.push(...settings.text(name)!.split(','));
    else if (service === 'mds' && (name === 'read' || name === 'write')) {
      if (settings.flag(name)) mask.push(name.toUpperCase());
    } else if (['read', 'write', 'exec'].includes(name)) fields[field] = settings.flag(name);
    else if (name === 'arg') fields[field] = argsOf(settings);
    else if (name === 'uid' || name === 'gid') fields[field] = Number(settings.text(name));
    else fields[field] = settings.text(name);
  }
  return mask.length > 0 ? { ...fields, mask } : fields;
}

function fromJson(settings: Settings): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(settings.required('request'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw settings.wrong('request', 'a JSON object');
}

function argsOf(settings: Settings): Record<string, string> {
  const pairs = (settings.list('arg') ?? []).map((each) => {
    const at = each.indexOf('=');
    if (at < 1) throw settings.wrong('arg', 'KEY=VALUE');
    return [each.slice(0, at), each.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

const FLAG_FIELDS: ReadonlyMap<string, string> = new Map([
  ['read', 'read'],
  ['write', 'write'],
  ['exec', 'exec'],
  ['pool', 'pool'],
  ['namespace', 'namespace'],
  ['object', 'object'],
  ['path', 'path'],
  ['uid', 'callerUid'],
  ['gid', 'callerGid'],
  ['mask', 'mask'],
  ['entity', 'entity'],
  ['part', 'service'],
  ['module', 'module'],
  ['command', 'command'],
  ['arg', 'args'],
]);
