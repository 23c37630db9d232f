/** MDS caps against a real MDS of Ceph 16: file operations of users with different caps. */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, type Grants, parse, readRequest } from '../src/caps/index.ts';
import { Engine } from '../src/engine/index.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import {
  FILE_OPERATIONS,
  type FileOperation,
  type FileUser,
  fileUsers,
  within,
} from './ceph-files.ts';
import { Rng, seedOf } from './rng.ts';

interface Done {
  readonly operation: FileOperation;
  readonly answer: { readonly allowed: boolean; readonly rc: number };
}

const seed = seedOf(Date.now() & 0x7fffffff);
const USERS = Number(process.env.CAPS_USERS ?? 24);

const MISSING = cephMissing('ceph-mon', 'ceph-osd', 'ceph-mds');

describe.skipIf(MISSING)(`mds caps in Ceph 16 (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let engine: Engine;

  beforeAll(async () => {
    [cluster, engine] = await Promise.all([Cluster.start({ mds: true }), Engine.create()]);
  }, 120_000);

  afterAll(async () => {
    await cluster?.stop();
  });

  it(`answers file operations of ${USERS} users alike (seed ${seed})`, {
    timeout: 300_000,
  }, async () => {
    const count = { yes: 0, no: 0 };
    for (const user of await fileUsers(cluster, new Rng(seed), USERS)) {
      const parsed = parse('mds', user.caps, { release: 16, engine });
      if (!parsed.ok) throw new Error(parsed.error);
      for (const { operation, answer } of await operate(user)) {
        const ours = allows(parsed.grants, user, operation);
        const { call } = operation;
        const seen = { caps: user.caps, uid: user.uid, gid: user.gid, call, ...answer };
        expect({ ...seen, allowed: ours }).toEqual(seen);
        count[ours ? 'yes' : 'no']++;
      }
    }
    console.log(`${count.yes} operations allowed, ${count.no} not (seed ${seed})`);
    expect(Math.min(count.yes, count.no)).toBeGreaterThan(USERS * 2);
  });

  /** Mounts where the user may, and does there what lies below. */
  async function operate(user: FileUser): Promise<Done[]> {
    const { entity, uid, gid } = user;
    const done: Done[] = [];
    const files = cluster.operations(FILE_OPERATIONS);
    let root: string | undefined;
    const key = (await cluster.command({ prefix: 'auth get-key', entity })).out;
    for (const operation of user.mounts) {
      const asked = { entity, uid, gid, key, ...operation.call };
      const answer = (await files.ask(asked)) as Done['answer'];
      done.push({ operation, answer });
      if (answer.rc !== 0) continue;
      root = operation.call.path as string;
      break;
    }
    for (const operation of user.operations) {
      const path = operation.call.path as string;
      if (root === undefined || !within(path, root)) continue;
      const answer = (await files.ask(operation.call)) as Done['answer'];
      const requests = operation.requests.filter(({ inode }) => within(inode.path, root));
      done.push({ operation: { ...operation, requests }, answer });
    }
    await files.end();
    return done;
  }
});

function allows(grants: Grants, user: FileUser, { requests }: FileOperation): boolean {
  return requests.every(({ inode, mask, newUid = 0, newGid = 0, fs }) => {
    const request = readRequest('mds', {
      path: inode.path.slice(1),
      inodeUid: inode.uid,
      inodeGid: inode.gid,
      inodeMode: inode.mode,
      callerUid: user.uid,
      callerGid: user.gid,
      mask,
      newUid,
      newGid,
      ...(fs !== undefined && { fs }),
      addr: '127.0.0.1',
    });
    if (typeof request === 'string') throw new TypeError(request);
    return check(grants, request).allowed;
  });
}
