/** `cephgate secrets fetch`: the rotating secrets of a daemon's service, once, as JSON. */

import { entityTypeName } from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import { ConfigError } from '../errors.ts';
import { formatTime } from '../http/codec.ts';
import { formatSecrets } from '../http/secretsfile.ts';
import { CLUSTER_OPTIONS, clusterConfig, openClusterRing } from './cluster.ts';
import { EXIT_YES, type Io } from './io.ts';
import { formatOptions, type Option, parseFlags } from './options.ts';
import { CONFIG_OPTION, settingsOf } from './settings.ts';

const OPTIONS: readonly Option[] = [
  ...CLUSTER_OPTIONS,
  { name: 'reveal-keys', help: 'print the keys too: what --secrets of "serve" reads, mode 0600' },
  CONFIG_OPTION,
];

const HELP: string = `usage: cephgate secrets fetch --name NAME [FLAGS]

Logs in at a monitor as a daemon and prints the rotating secrets of its service as JSON: ids, key
types and times, and with --reveal-keys the keys.

${formatOptions(OPTIONS)}`;

export async function secretsCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(HELP);
    return EXIT_YES;
  }
  if (flags.words.join(' ') !== 'fetch') {
    throw new ConfigError('config.unknown', 'expected "secrets fetch"');
  }
  const settings = settingsOf(OPTIONS, flags, io.env);
  const config = clusterConfig(settings);
  if (config === undefined) throw new ConfigError('config.value', '"--name" is missing');
  const engine = await Engine.create({ preset: 'small' });
  try {
    const { ring, close } = await openClusterRing(config, 0n, { engine, io, mustAnswer: true });
    const { secrets, facts } = ring;
    io.out(
      flags.values.has('reveal-keys')
        ? formatSecrets(secrets)
        : `${JSON.stringify({ format: FORMAT, secrets: facts.map(shown) }, null, 2)}\n`,
    );
    await close();
    for (const { key } of secrets) key.wipe();
    return EXIT_YES;
  } finally {
    engine.wipe();
  }
}

interface Shown {
  readonly serviceId: number;
  readonly secretId: bigint;
  readonly keyType: string;
  readonly createdNs: bigint;
  readonly expiresNs: bigint | undefined;
}

function shown({ serviceId, secretId, keyType, createdNs, expiresNs }: Shown): object {
  return {
    service: entityTypeName(serviceId),
    secret_id: secretId.toString(),
    key_type: keyType,
    created: formatTime(createdNs),
    expires: expiresNs === undefined ? null : formatTime(expiresNs),
  };
}

/** Not the one that `serve --secrets` reads: there are no keys in it. */
const FORMAT = 'cephgate-secret-facts/1';
