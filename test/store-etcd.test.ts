/** etcd against the contract of all stores. */

import { afterAll, beforeAll } from 'vitest';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/store.ts';
import { beside } from './beside.ts';
import { ETCD_NAME, EtcdCluster, etcdMissing, QUICK } from './etcd.ts';
import { leaseContract, storeContract } from './store-contract.ts';

/** A cluster for a suite, for the contract looks at its revisions, and how to open a new store. */
function emptyStores(): () => Promise<Store> {
  let cluster: EtcdCluster;
  let stores = 0;
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ flags: QUICK });
  });
  afterAll(() => cluster?.stop());
  return async () => {
    const prefix = `contract/${stores++}/`;
    return await openStore(cluster.address, { prefix, envelope: plaintextEnvelope() });
  };
}

beside(ETCD_NAME, etcdMissing, () => storeContract('etcd', emptyStores(), 300));
beside(`${ETCD_NAME}: leases`, etcdMissing, () => leaseContract('etcd', emptyStores(), 1_000));
