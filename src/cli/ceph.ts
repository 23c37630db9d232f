/** `cephgate ceph status`: what we see of a real cluster. */

import { KEY_TYPES } from '../cephx/cryptokey.ts';
import { type EntityName, formatEntityName, parseEntityName } from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import { ConfigError } from '../errors.ts';
import { ClusterRing } from '../http/clusterring.ts';
import { formatTime } from '../http/codec.ts';
import { formatAddress } from '../mon/address.ts';
import type { MonClient } from '../mon/monclient.ts';
import { formatFsid, type MonMap } from '../mon/monmap.ts';
import { rotatingService } from '../mon/rotating.ts';
import { CLUSTER_OPTIONS, clusterConfig, connectAs } from './cluster.ts';
import { EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags } from './options.ts';
import { CONFIG_OPTION, settingsOf } from './settings.ts';

const OPTIONS: readonly Option[] = [
  ...CLUSTER_OPTIONS,
  { name: 'allow-crc', help: 'accept a connection without encryption: then no secrets are shown' },
  { name: 'json', help: 'print JSON' },
  CONFIG_OPTION,
];

const HELP: string = `usage: cephgate ceph status [FLAGS]

Logs in at a monitor, as client.admin unless --name says otherwise, and prints what we see of the
cluster: its monitors, its settings of authentication, and for a daemon the ids and ages of the
secrets of its service.

${formatOptions(OPTIONS)}`;

export async function cephStatusCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(HELP);
    return EXIT_YES;
  }
  if (flags.words.join(' ') !== 'status') {
    throw new ConfigError('config.unknown', 'expected "ceph status"');
  }
  const settings = settingsOf(OPTIONS, flags, io.env);
  const monHost = settings.text('mon-host');
  const admin = { names: [parseEntityName('client.admin')!], monHost, keyring: undefined };
  const named = settings.list('name') !== undefined;
  const config = named ? clusterConfig(settings)! : { ...admin, keyring: settings.text('keyring') };
  const allowCrc = flags.values.has('allow-crc');
  const engine = await Engine.create({ preset: 'small' });
  try {
    const seen: Status[] = [];
    for (const name of config.names) {
      const client = await connectAs(name, config, { engine, io, allowCrc });
      try {
        seen.push(await statusOf(name, client, new ClusterRing(engine, 0n)));
      } finally {
        await client.stop();
      }
    }
    const isJson = flags.values.has('json');
    io.out(isJson ? `${JSON.stringify(seen, null, 2)}\n` : seen.map(formatStatus).join('\n'));
    return EXIT_YES;
  } finally {
    engine.wipe();
  }
}

interface Status {
  readonly entity: string;
  readonly global_id: string;
  readonly connected_to: string;
  readonly encrypted: boolean;
  readonly fsid: string;
  readonly monmap: {
    readonly epoch: number;
    readonly version: number;
    readonly min_mon_release: number;
    readonly monitors: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  };
  readonly auth: {
    readonly epoch: number;
    readonly service_cipher: string;
    readonly allowed_ciphers: readonly string[];
    readonly preferred_cipher: string;
  };
  readonly secrets: readonly SecretLine[];
  readonly key_types: readonly string[];
}

interface SecretLine {
  readonly service: string;
  readonly secret_id: string;
  readonly key_type: string;
  readonly created: string;
  readonly age_seconds: number;
  readonly expires: string;
}

async function statusOf(name: EntityName, client: MonClient, ring: ClusterRing): Promise<Status> {
  const { isSecure } = await client.connected();
  const service = rotatingService(name);
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  if (service !== undefined && isSecure) {
    ring.take(service, await client.fetchRotating(), 0, nowNs);
  }
  const secrets = ring.facts.map(({ service: of, secretId, keyType, createdNs, expiresNs }) => ({
    service: of,
    secret_id: secretId.toString(),
    key_type: keyType,
    created: formatTime(createdNs),
    age_seconds: Number((nowNs - createdNs) / 1_000_000_000n),
    expires: formatTime(expiresNs!),
  }));
  return {
    entity: formatEntityName(name),
    global_id: client.globalId.toString(),
    connected_to: formatAddress(client.connectedTo!),
    encrypted: isSecure,
    ...mapFields(client.monmap!),
    secrets,
    key_types: [...new Set(secrets.map((secret) => secret.key_type))],
  };
}

function mapFields(monmap: MonMap): Pick<Status, 'fsid' | 'monmap' | 'auth'> {
  const { epoch, version, minMonRelease, monitors, auth } = monmap;
  return {
    fsid: formatFsid(monmap.fsid),
    monmap: {
      epoch,
      version,
      min_mon_release: minMonRelease,
      monitors: monitors.map(({ name, addresses }) => ({
        name,
        addresses: addresses.map(formatAddress),
      })),
    },
    auth: {
      epoch: auth.epoch,
      service_cipher: typeName(auth.serviceCipher),
      allowed_ciphers: auth.allowedCiphers.map(typeName),
      preferred_cipher: typeName(auth.preferredCipher),
    },
  };
}

function formatStatus(status: Status): string {
  const { monmap, auth } = status;
  const lines = [
    `cluster   ${status.fsid}`,
    `as        ${status.entity}, global_id ${status.global_id}`,
    `through   ${status.connected_to}, ${status.encrypted ? 'encrypted' : 'NOT encrypted'}`,
    `monmap    epoch ${monmap.epoch}, version ${monmap.version}, release ${monmap.min_mon_release}`,
    ...monmap.monitors.map(({ name, addresses }) => `mon.${name}`.padEnd(10) + addresses.join(' ')),
    `auth      epoch ${auth.epoch}, service secrets ${auth.service_cipher}`,
    `logins    ${auth.allowed_ciphers.join(' ')}`,
    ...status.secrets.map(
      (each) =>
        `${`${each.service} ${each.secret_id}`.padEnd(9)} ${each.key_type}, ` +
        `${each.age_seconds} s old, expires ${each.expires}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function typeName(type: number): string {
  return KEY_TYPES.find((each) => each.type === type)?.name ?? `type ${type}`;
}
