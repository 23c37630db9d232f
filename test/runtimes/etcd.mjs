// Uses a store on etcd over TLS, on the runtime that runs it; test/store-etcd-seal.test.ts starts it.
//   etcd.mjs URL CA NAME:PASSWORD PREFIX MILLISECONDS-TO-OPEN
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { openEtcdStore } from '../../src/store/etcd/etcd.ts';
import { plaintextEnvelope, transaction } from '../../src/store/index.ts';

const CALL = { timeoutMs: 20_000 };
const [url, caFile, words, prefix, timeout] = process.argv.slice(2);
const [name, password] = words.split(':');
const ca = readFileSync(caFile, 'utf8');
const bytes = (text) => new TextEncoder().encode(text);

const access = { ca, login: { name, password }, prefix, envelope: plaintextEnvelope() };
const store = await openEtcdStore({ ...access, members: [url], timeoutMs: Number(timeout) });
const key = bytes('a');
const watch = store.watch((await store.get(key, CALL)).snapshot);
const heard = (async () => {
  for await (const event of watch) return event.type === 'transaction' && event.snapshot;
})();
const done = await store.commit(transaction({ puts: [{ key, value: bytes('1') }] }), CALL);
const told = await heard;
const lease = await store.lease('x', 60_000, CALL);
await lease.renew(CALL, bytes('note'));
const [held] = await store.leases('', CALL);
await store.close();
console.log(done.status, told === done.snapshot, new TextDecoder().decode(held.note));
