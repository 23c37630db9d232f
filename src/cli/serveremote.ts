/** The listeners of administration: unix sockets, whose mode decides, and TCP, where cephx does. */

import { ConfigError } from '../errors.ts';
import { type AdminDeps, createAdminApp } from '../http/admin.ts';
import type { RemoteAdmin } from '../http/adminremote.ts';
import { AdminSessions } from '../http/adminsessions.ts';
import type { AppDeps } from '../http/deps.ts';
import { type ListenAddress, listen, type OpenListener } from '../http/listen.ts';
import { State } from '../http/state.ts';
import type { TlsSource } from '../http/tls.ts';

export interface AdminEntrance {
  readonly tls: TlsSource | undefined;
  readonly allowHosts: readonly string[];
  /** Addresses that are not loopback are served even without TLS. */
  readonly insecure: boolean;
}

/** What callers on TCP are asked for: a ticket of ours for service `mon`. */
export function remoteAdmin(deps: AppDeps, { tls }: Pick<AdminEntrance, 'tls'>): RemoteAdmin {
  const { engine, ring, random, state, allowUnchallengedVerdict } = deps;
  const policy = (): AppDeps['policy'] => deps.policy;
  return {
    sessions: new AdminSessions(engine, policy, random),
    verify: {
      ...{ engine, ring, random, allowUnchallengedVerdict },
      // Keys of this process alone: its sessions are too.
      state: new State({ keys: { current: random(32), previous: undefined }, random }),
      get policy() {
        return policy();
      },
    },
    rates: state.rates,
    tls: tls !== undefined,
  };
}

/** Opens all, or none. Throws ListenError, ConfigError. */
export async function openEntrances(
  addresses: readonly ListenAddress[],
  deps: AdminDeps,
  remote: RemoteAdmin,
  { tls, allowHosts, insecure }: AdminEntrance,
): Promise<OpenListener[]> {
  const unix = addresses.filter(({ kind }) => kind === 'unix');
  const tcp = addresses.filter(({ kind }) => kind === 'tcp');
  if (tcp.length > 0 && deps.issuer === undefined) {
    const why = 'tickets for it are not issued here';
    throw new ConfigError('config.value', `cannot listen for administration on TCP: ${why}`);
  }
  const local = createAdminApp(deps);
  const open = await listen(local.fetch.bind(local), unix, { allowHosts: [] });
  try {
    const app = createAdminApp({ ...deps, inClear: tls === undefined }, remote);
    // The proof of callers is cephx: what is missing on other addresses is TLS alone.
    const options = { allowHosts, tls, insecure: insecure || tls !== undefined };
    return [...open, ...(await listen(app.fetch.bind(app), tcp, options))];
  } catch (error) {
    await Promise.all(open.map((each) => each.close(0)));
    throw error;
  }
}
