/**
 * `cephgate systemd`: prints a unit for systemd. Printed and not shipped as a file: it names the
 * runtime and the program where they are on this machine.
 */

import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../errors.ts';
import { EXIT_YES, type Io } from './io.ts';
import { MALLOC_ENVIRONMENT, NODE_OPTIONS } from './memory.ts';
import { formatOptions, type Option, parseFlags, refuseWords } from './options.ts';

export async function systemdCommand(argv: readonly string[], io: Io): Promise<number> {
  const flags = parseFlags(argv, OPTIONS);
  if (flags.help) {
    io.out(HELP);
    return EXIT_YES;
  }
  refuseWords(flags);
  const group = flags.values.get('group')?.[0];
  if (group !== undefined && !/^[a-z_][a-z0-9_-]{0,30}$/.test(group)) {
    throw new ConfigError('config.value', 'wrong value of "--group": expected a name of a group');
  }
  const config = flags.values.get('config')?.[0];
  if (config !== undefined && !config.startsWith('/')) {
    throw new ConfigError('config.value', 'wrong value of "--config": expected an absolute path');
  }
  io.out(systemdUnit(commandLine(), { group, config }));
  return EXIT_YES;
}

export interface UnitOptions {
  /** Who may connect to the unix socket. */
  readonly group: string | undefined;
  /** The config file; none: only what the unit says. */
  readonly config: string | undefined;
}

/** The text of the unit; `command` runs `cephgate` without arguments. */
export function systemdUnit(command: readonly string[], options: UnitOptions): string {
  const config = options.config === undefined ? [] : ['--config', options.config];
  const serve = ['serve', '--data', '%S/cephgate'];
  const listen = ['--listen', 'unix:%t/cephgate/cephgate.sock'];
  const words = [...command.map(escaped), ...serve, ...listen, ...config.map(escaped)];
  const group =
    options.group === undefined
      ? '# Group=ceph lets the processes of that group connect to the socket.'
      : `Group=${options.group}`;
  // Below a home the program could not be started, were homes hidden from it.
  const atHome = command.some((word) => /^\/(?:home|root|run\/user)\//.test(word));
  const parts = {
    EXEC: words.join(' '),
    GROUP: group,
    HOME: atHome ? 'read-only' : 'yes',
    MEMORY: Object.entries(MALLOC_ENVIRONMENT)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
    NODE_OPTIONS,
  };
  const places = /@(EXEC|GROUP|HOME|MEMORY|NODE_OPTIONS)@/g;
  return UNIT.replaceAll(places, (_, name: keyof typeof parts) => parts[name]);
}

function commandLine(): string[] {
  const built = !import.meta.url.endsWith('.ts');
  const main = fileURLToPath(new URL(built ? './main.js' : './main.ts', import.meta.url));
  return [process.execPath, ...('Deno' in globalThis ? ['run', '-A'] : []), main];
}

/** systemd reads $, %, quotes and spaces in a command line. */
function escaped(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\;]/.test(plain) ? `"${plain.replaceAll(/["\\]/g, '\\$&')}"` : plain;
}

const OPTIONS: readonly Option[] = [
  { name: 'group', value: 'NAME', help: 'group whose processes may connect to the socket' },
  { name: 'config', value: 'FILE', help: 'config file of the service' },
];

const HELP = `usage: cephgate systemd [--group NAME] [--config FILE]

Prints a unit for systemd: cephgate systemd > /etc/systemd/system/cephgate.service

${formatOptions(OPTIONS)}`;

// MemoryDenyWriteExecute is not here: the compiler of the runtime writes code and runs it. Nor is
// ~@resources: the runtime asks for its limits with the call that also sets them.
// NotifyAccess=all: it is the program systemd-notify that speaks, a child of ours.
const UNIT = `[Unit]
Description=cephx verification sidecar
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=all
ExecStart=@EXEC@
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
WatchdogSec=30
TimeoutStopSec=30

DynamicUser=yes
@GROUP@
StateDirectory=cephgate
StateDirectoryMode=0700
RuntimeDirectory=cephgate
RuntimeDirectoryMode=0750
UMask=0077

# Keys lie in memory: no dumps, no swap, no debugger.
LimitCORE=0
MemorySwapMax=0
UnsetEnvironment=NODE_DEBUG SSLKEYLOGFILE

# Memory of one body serves the next; no options of Node from elsewhere.
Environment=@MEMORY@
Environment=NODE_OPTIONS=@NODE_OPTIONS@

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectProc=invisible
ProcSubset=pid
ProtectSystem=strict
ProtectHome=@HOME@
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
