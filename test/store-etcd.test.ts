/** etcd against the contract of all stores. */

import { afterAll, beforeAll, describe } from 'vitest';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { openStore } from '../src/store/open.ts';
import { ETCD_NAME, EtcdCluster, etcdMissing, QUICK } from './etcd.ts';
import { storeContract } from './store-contract.ts';

describe.skipIf(etcdMissing)(ETCD_NAME, () => {
  let cluster: EtcdCluster;
  let stores = 0;
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ flags: QUICK });
  });
  afterAll(() => cluster?.stop());

  storeContract(
    'etcd',
    () =>
      openStore(cluster.address, {
        prefix: `contract/${stores++}/`,
        envelope: plaintextEnvelope(),
      }),
    { leaseTtlMs: 1_000, transactions: 300 },
  );
});
