/** `etcd:https://a:2379,b:2379`: the members of a cluster, and what else opening it takes. */

import { StoreError } from '../../errors.ts';
import type { Login } from './client.ts';
import { type EtcdStore, openEtcdStore } from './etcd.ts';
import type { Envelope } from './seal.ts';

export interface EtcdAccess {
  /** PEM; the certificates of the system if left out. */
  readonly ca?: string | undefined;
  readonly login?: Login | undefined;
  /** How values lie in etcd: there is no default. */
  readonly envelope?: Envelope | undefined;
  /** Before all our keys, default `cephgate/`. */
  readonly prefix?: string | undefined;
}

/**
 * Opens the store at `https://host:port,...`; plain http only to loopback. Throws StoreError
 * `store.address`, and as `openEtcdStore`.
 */
export async function openEtcdAddress(list: string, access: EtcdAccess): Promise<EtcdStore> {
  const members = membersOf(list);
  const { ca, login, envelope, prefix = 'cephgate/' } = access;
  if (envelope === undefined) {
    throw wrong(list, 'a store key is needed to seal what lies there, or the word that it is not');
  }
  if (!/^[\w./-]{0,255}\/$/.test(prefix)) throw wrong(list, `its prefix is "${prefix}"`);
  return await openEtcdStore({ members, prefix, ca, login, envelope });
}

/** `https://host:port` of each member. A later one may leave out the scheme. */
function membersOf(list: string): string[] {
  let scheme = '';
  return list.split(',').map((text) => {
    const [, given, rest] = /^(https?:\/\/)?([^/?#@]+)\/?$/.exec(text.trim()) ?? [];
    scheme = given ?? scheme;
    const url = URL.canParse(scheme + rest) ? new URL(scheme + rest) : undefined;
    if (url === undefined || scheme === '' || rest === undefined) {
      throw wrong(list, 'expected etcd:https://HOST:PORT,...');
    }
    if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) {
      throw wrong(list, `http to "${url.hostname}" is not safe, expected https`);
    }
    return url.origin;
  });
}

function wrong(list: string, why: string): StoreError {
  return new StoreError('store.address', `cannot open store "etcd:${list}": ${why}`);
}

/** Not the name `localhost`: what it means is up to a resolver. */
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|\[::1\])$/;
