/**
 * Every setting of every command: what may stand in the environment and in the config file.
 */

import type { Policy } from '../engine/types.ts';
import { ConfigError } from '../errors.ts';
import { CLUSTER_OPTIONS, GRACE_OPTION, USERS_OPTIONS } from './cluster.ts';
import { LISTEN_OPTIONS } from './configlisten.ts';
import { OBSERVE_OPTIONS } from './observing.ts';
import type { Flags, Option } from './options.ts';
import { Settings } from './options.ts';
import { ISSUER_OPTIONS } from './serveissuer.ts';
import { ETCD_OPTIONS, STALE_OPTIONS } from './storeplace.ts';

export const CONFIG_OPTION: Option = {
  name: 'config',
  value: 'FILE',
  key: 'config',
  help: 'settings as JSON, keys as in the environment, in lower case',
};

/** How a ticket is judged: by the sidecar and by `verify --offline`. */
export const POLICY_OPTIONS: readonly Option[] = [
  {
    name: 'policy',
    value: 'P',
    key: 'policy',
    help: 'plausibility: released, pr71231-order, pr71231-span, strict',
    default: 'pr71231-order',
  },
  {
    name: 'expiry',
    value: 'MODE',
    key: 'expiry',
    help: 'enforce, report, or ring as the daemons of Ceph do',
    default: 'enforce',
  },
  { name: 'skew', value: 'SECONDS', key: 'skew', help: 'clock skew', default: '300' },
  {
    name: 'types',
    value: 'LIST',
    key: 'allowed_types',
    help: 'key types that may seal a ticket: ring (what the secret has), or aes, aes256k, by commas',
    default: 'ring',
  },
  {
    name: 'general-secret',
    key: 'general_secret',
    help: 'general (non-rotating) secrets are loaded and count',
    default: 'false',
  },
  {
    name: 'release',
    value: '16|20',
    key: 'release',
    help: 'Ceph release whose grammar of caps holds',
    default: '20',
  },
];

export const SERVE_OPTIONS: readonly Option[] = [
  { name: 'data', value: 'DIR', key: 'data', help: 'directory of our own', default: './data' },
  {
    name: 'listen',
    value: 'unix:PATH|tcp:HOST:PORT',
    key: 'listen',
    repeatable: true,
    help: 'where to listen; port 0 finds one',
    default: 'unix:DIR/cephgate.sock,tcp:127.0.0.1:6480',
  },
  {
    name: 'frames-listen',
    value: 'unix:PATH',
    key: 'frames_listen',
    help: 'a socket for records of the core, length-prefixed and pipelined; default none',
  },
  {
    name: 'workers',
    value: 'N',
    key: 'workers',
    help: 'so many processes answer on the same sockets (Node only); 0: this one',
    default: '0',
  },
  {
    name: 'store',
    value: 'ADDRESS',
    key: 'store',
    help: 'where the entities are: sqlite:PATH, etcd:https://HOST:PORT,... or memory:',
    default: 'sqlite:DIR/cephgate.db',
  },
  ...ETCD_OPTIONS,
  ...STALE_OPTIONS,
  {
    name: 'admin-listen',
    value: 'unix:PATH|tcp:HOST:PORT',
    key: 'admin_listen',
    repeatable: true,
    help: 'where to listen for administration; on TCP callers prove themselves by cephx',
    default: 'unix:DIR/admin.sock',
  },
  {
    name: 'allow-host',
    value: 'NAME',
    key: 'allow_host',
    repeatable: true,
    help: 'a further name that the Host header may have on TCP',
  },
  {
    name: 'token-file',
    value: 'FILE',
    key: 'token_file',
    help: 'bearer tokens for TCP, lines RIGHT[,RIGHT] TOKEN (verify, accept), mode 0600',
  },
  {
    name: 'secrets',
    value: 'FILE',
    key: 'secrets',
    help: 'static service secrets, cephgate-secrets/1, mode 0600; else a rotating set of our own',
  },
  ...ISSUER_OPTIONS,
  ...CLUSTER_OPTIONS,
  ...USERS_OPTIONS,
  GRACE_OPTION,
  ...LISTEN_OPTIONS,
  ...POLICY_OPTIONS,
  {
    name: 'session-lifetime',
    value: 'MODE',
    key: 'session_lifetime',
    help: 'ticket or connection',
    default: 'ticket',
  },
  {
    name: 'session-max-age',
    value: 'SECONDS',
    key: 'session_max_age',
    help: 'longest age of a session; 0: no limit',
    default: '0',
  },
  {
    name: 'ticket-cache',
    value: 'on|off',
    key: 'ticket_cache',
    help: 'tickets that were opened stay opened, so that the next authorizer costs less',
    default: 'on',
  },
  { name: 'sign', key: 'sign', help: 'enable /v1/sign and /v1/sign/verify', default: 'false' },
  {
    name: 'sign-msgr1-aes256k',
    key: 'sign_msgr1_aes256k',
    help: 'msgr1 signatures also under aes256k, where their form is unconfirmed',
    default: 'false',
  },
  {
    name: 'allow-unchallenged-verdict',
    key: 'allow_unchallenged_verdict',
    help: 'callers that may accept can also ask for a verdict without a challenge',
    default: 'false',
  },
  ...OBSERVE_OPTIONS,
  CONFIG_OPTION,
];

/** Where the sidecar is, for the commands that call it. */
export const CLIENT_OPTIONS: readonly Option[] = [
  {
    name: 'url',
    value: 'URL',
    key: 'url',
    help: 'the sidecar',
    default: 'http://127.0.0.1:6480',
  },
  { name: 'socket', value: 'PATH', key: 'socket', help: 'its unix socket, instead of a URL' },
  {
    name: 'bearer-file',
    value: 'FILE',
    key: 'bearer_file',
    help: 'a file of mode 0600 that holds our bearer token',
  },
  CONFIG_OPTION,
];

/** How closely the Ceph-like commands imitate Ceph: no flags, they have exactly Ceph's. */
export const LIKE_CEPH_OPTIONS: readonly Option[] = [
  ...POLICY_OPTIONS.filter(({ key }) => key === 'release'),
  {
    name: 'guard',
    value: 'on|off',
    key: 'guard',
    help: 'whether the Ceph-like commands refuse what destroys or exposes something',
    default: 'on',
  },
];

/** Every setting once, of whatever command: one environment and one config file serve them all. */
export const KNOWN_OPTIONS: readonly Option[] = [
  ...new Map(
    [...SERVE_OPTIONS, ...CLIENT_OPTIONS, ...LIKE_CEPH_OPTIONS]
      .filter(({ key }) => key !== undefined)
      .map((option) => [option.key, option]),
  ).values(),
];

/** The settings of a command from its flags, the environment and the config file. */
export function settingsOf(
  options: readonly Option[],
  flags: Flags,
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  return new Settings(options, KNOWN_OPTIONS, flags, env);
}

/** The policy that POLICY_OPTIONS ask for; what was not given is left to the engine. */
export function policyOf(settings: Settings): Partial<Policy> {
  const plausibility = settings.oneOf('policy', PLAUSIBILITIES);
  const expiry = settings.oneOf('expiry', ['enforce', 'report', 'ring']);
  const skewNs = settings.seconds('skew');
  const release = settings.oneOf('release', ['16', '20']);
  const types = settings.text('types');
  const allowedTypes = types === undefined ? undefined : typesOf(settings, types);
  return {
    ...(plausibility && { plausibility }),
    ...(expiry && { expiry }),
    ...(skewNs !== undefined && { skewNs }),
    ...(allowedTypes && { allowedTypes }),
    ...(release && { release: release === '16' ? 16 : 20 }),
    generalSecret: settings.flag('general-secret'),
  };
}

function typesOf(settings: Settings, text: string): Policy['allowedTypes'] {
  if (text === 'ring') return 'ring';
  return text.split(',').map((name) => {
    const trimmed = name.trim();
    if (trimmed === 'aes' || trimmed === 'aes256k') return trimmed;
    throw settings.wrong('types', 'ring, or aes and aes256k by commas');
  });
}

/** Throws ConfigError unless at most one of the flags was given. */
export function refuseTogether(settings: Settings, names: readonly string[]): void {
  const given = names.filter((name) => settings.origin(name) !== undefined);
  if (given.length > 1) {
    const shown = given.map((name) => `"--${name}"`).join(' and ');
    throw new ConfigError('config.value', `${shown} cannot be given together`);
  }
}

const PLAUSIBILITIES = ['released', 'pr71231-order', 'pr71231-span', 'strict'] as const;
