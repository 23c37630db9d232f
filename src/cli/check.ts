/**
 * `cephgate check`: asks a sidecar whether an operation is allowed.
 */

import { ConfigError } from '../errors.ts';
import { EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags, refuseWords, type Settings } from './options.ts';
import { call, printDecision } from './request.ts';
import { CLIENT_OPTIONS, settingsOf } from './settings.ts';

const OPTIONS: readonly Option[] = [
  { name: 'service', value: 'S', help: 'whose caps: osd, mds; mon and mgr without a session' },
  { name: 'session', value: 'HANDLE', help: 'the subject: a session' },
  { name: 'entity', value: 'NAME', help: 'or an entity of the store, of which nothing is proved' },
  { name: 'caps', value: 'TEXT', help: 'or a caps text' },
  { name: 'peer', value: 'ADDR', help: 'address of the client' },
  { name: 'op', value: 'JSON', help: 'the operation as in the HTTP call' },
  { name: 'pool', value: 'NAME', help: 'osd, instead of --op' },
  { name: 'namespace', value: 'NAME', help: 'osd' },
  { name: 'object', value: 'NAME', help: 'osd' },
  { name: 'path', value: 'PATH', help: 'mds, instead of --op, as an inode 0755 of root' },
  { name: 'uid', value: 'N', help: 'mds: who calls, default 0' },
  { name: 'gid', value: 'N', help: 'mds, default 0' },
  { name: 'read', help: 'the operation reads' },
  { name: 'write', help: 'the operation writes' },
  { name: 'explain', help: 'say per grant which condition failed first' },
  { name: 'json', help: 'print JSON' },
  ...CLIENT_OPTIONS,
];

export const CHECK_HELP: string = `usage: cephgate check --service S SUBJECT [FLAGS]

Asks a sidecar whether the subject (one of --session, --entity, --caps) may do an operation.
Exit code: 0 yes, 1 no, 2 wrong usage, 3 trouble.

${formatOptions(OPTIONS)}`;

export async function checkCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(CHECK_HELP);
    return EXIT_YES;
  }
  refuseWords(flags);
  const settings = settingsOf(OPTIONS, flags, io.env);
  const explain = settings.flag('explain');
  const document = await call(settings, explain ? '/v1/check?explain=true' : '/v1/check', {
    service: settings.required('service'),
    session: settings.text('session'),
    entity: settings.text('entity'),
    caps: settings.text('caps'),
    peer: settings.text('peer'),
    op: opOf(settings),
  });
  return printDecision(io, document, settings.flag('json'));
}

function opOf(settings: Settings): unknown {
  const json = settings.text('op');
  if (json !== undefined) {
    const parts = OP_FLAGS.filter((name) => settings.origin(name) !== undefined);
    if (parts.length > 0) {
      throw new ConfigError('config.value', `"--op" and "--${parts[0]}" cannot be given together`);
    }
    try {
      return JSON.parse(json);
    } catch {
      throw settings.wrong('op', 'JSON');
    }
  }
  const read = settings.flag('read');
  const write = settings.flag('write');
  const path = settings.text('path');
  if (path === undefined) {
    const pool = settings.required('pool');
    const { namespace, object } = {
      namespace: settings.text('namespace'),
      object: settings.text('object'),
    };
    return { pool, namespace, object, read, write };
  }
  return {
    path,
    inode_uid: 0,
    inode_gid: 0,
    inode_mode: 0o755,
    caller_uid: numberOf(settings, 'uid'),
    caller_gid: numberOf(settings, 'gid'),
    // Ceph: MAY_READ 1, MAY_WRITE 2.
    mask: (read ? 1 : 0) | (write ? 2 : 0),
  };
}

function numberOf(settings: Settings, name: string): number {
  const text = settings.text(name) ?? '0';
  if (!/^[0-9]{1,10}$/.test(text)) throw settings.wrong(name, 'a number');
  return Number(text);
}

const OP_FLAGS = ['pool', 'namespace', 'object', 'path', 'uid', 'gid', 'read', 'write'];
