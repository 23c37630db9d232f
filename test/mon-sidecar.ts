/** `cephgate serve` as a process of its own, beside a real cluster. */

import type { Cluster } from './ceph.ts';
import { type HttpAnswer, type SpawnedSidecar, send, spawnSidecar } from './spawn.ts';

export interface ClusterSidecar extends SpawnedSidecar {
  /** A call over loopback TCP, where callers have the right `verify` alone. */
  bare(path: string, body?: unknown): Promise<HttpAnswer['body']>;
  /** A call over the unix socket, as a daemon makes it. */
  call(path: string, body?: unknown): Promise<HttpAnswer['body']>;
}

/** Starts one in a folder and waits until it has the secrets of these daemons. */
export async function sidecarBeside(
  cluster: Cluster,
  folder: string,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<ClusterSidecar> {
  const flags = [...clusterFlags(cluster, names), '--release', '16', '--sign', ...more];
  const sidecar = await spawnSidecar(folder, undefined, flags);
  const { host, port, socketPath } = sidecar;
  return Object.assign(sidecar, {
    bare: async (path: string, body?: unknown) => (await send({ host, port }, path, body)).body,
    call: async (path: string, body?: unknown) => (await send({ socketPath }, path, body)).body,
  });
}

export function clusterFlags(cluster: Cluster, names: readonly string[]): string[] {
  const who = names.flatMap((name) => ['--name', name]);
  return ['--mon-host', monHostOf(cluster), ...who, '--keyring', cluster.keyring];
}

export function monHostOf(cluster: Cluster): string {
  const one = ({ v2, v1 }: { v2: number; v1: number }) => `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
  return cluster.monPorts.map(one).join(',');
}

/** The TCP port on which an OSD speaks msgr v2. */
export async function osdPort(cluster: Cluster, id = 0): Promise<number> {
  const { out } = await cluster.command({ prefix: 'osd find', id });
  return portOf(JSON.parse(out).addrs.addrvec);
}

export async function mdsPort(cluster: Cluster): Promise<number> {
  const { out } = await cluster.command({ prefix: 'fs dump', format: 'json' });
  const [info] = Object.values<{ addrs: { addrvec: Address[] } }>(
    JSON.parse(out).filesystems[0].mdsmap.info,
  );
  return portOf(info!.addrs.addrvec);
}

interface Address {
  readonly type: string;
  readonly addr: string;
}

function portOf(addresses: readonly Address[]): number {
  const found = addresses.find(({ type }) => type === 'v2');
  return Number(found!.addr.split(':')[1]);
}

export function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
