/** Real operations of users with different OSD caps, and the request that each of them is. */

import type { Cluster } from './ceph.ts';
import type { Rng } from './rng.ts';

/** What a user does, and what an OSD asks its caps for it. */
export interface UserOperation {
  /** For `OPERATIONS`. */
  readonly call: Readonly<Record<string, unknown>>;
  /** For src/caps: the fields of caps.md section 3.1. */
  readonly request: Readonly<Record<string, unknown>>;
}

export interface LiveUser {
  readonly entity: string;
  readonly caps: string;
  readonly operations: readonly UserOperation[];
}

const POOLS = ['alpha', 'beta'] as const;
const NAMESPACES = ['', 'ns1', 'ns2'] as const;
const OBJECTS = ['rbd_data.1', 'rbd_info', 'rbd_children', 'rbd_header.9', 'plain'] as const;
const OPERATIONS_A_USER = 16;

/** Class methods of Debian's build with the flags they register, all on the default allow list. */
const METHODS: readonly {
  readonly name: string;
  readonly method: string;
  readonly read: boolean;
  readonly write: boolean;
}[] = [
  { name: 'hello', method: 'say_hello', read: true, write: false },
  { name: 'hello', method: 'record_hello', read: false, write: true },
  { name: 'version', method: 'read', read: true, write: false },
  { name: 'rbd', method: 'metadata_list', read: true, write: false },
  { name: 'rbd', method: 'child_attach', read: true, write: true },
  { name: 'rbd', method: 'child_detach', read: true, write: true },
];

/** Pools, objects, and users with random caps who each do some operations. */
export async function liveUsers(cluster: Cluster, rng: Rng, count: number): Promise<LiveUser[]> {
  const appMetadata: Record<string, Record<string, Record<string, string>>> = {};
  for (const pool of POOLS) {
    await must(cluster, { prefix: 'osd pool create', pool, pg_num: 8 });
    const app = pool === 'alpha' ? 'rbd' : 'cephfs';
    await must(cluster, {
      ...{ prefix: 'osd pool application enable', pool, app, yes_i_really_mean_it: true },
    });
    const tag = { key: 'data', value: pool };
    await must(cluster, { prefix: 'osd pool application set', pool, app, ...tag });
    appMetadata[pool] = { [app]: { data: pool } };
  }
  const users: LiveUser[] = [];
  for (let i = 0; i < count; i++) {
    const entity = `client.live${i}`;
    const caps = capsText(rng);
    const given = ['mon', 'allow r', 'osd', caps];
    await must(cluster, { prefix: 'auth get-or-create', entity, caps: given });
    const operations = Array.from({ length: OPERATIONS_A_USER }, () => operation(rng, appMetadata));
    users.push({ entity, caps, operations });
  }
  return users;
}

async function must(cluster: Cluster, command: Record<string, unknown>): Promise<void> {
  const { rc, err } = await cluster.command(command);
  if (rc !== 0) throw new Error(`${JSON.stringify(command)}: ${rc} ${err}`);
}

function capsText(rng: Rng): string {
  const grants = Array.from({ length: 1 + rng.int(3) }, () => grant(rng));
  return grants.join(rng.pick([', ', '; ', ',']));
}

function grant(rng: Rng): string {
  const network = rng.chance(0.2)
    ? ` network ${rng.pick(['127.0.0.0/8', '127.0.0.1/32', '10.0.0.0/8', '::1/128', '0.0.0.0/0'])}`
    : '';
  const pool = rng.chance(0.5) ? ` pool=${rng.pick(POOLS)}` : '';
  const namespace = rng.chance(0.3)
    ? ` namespace=${rng.pick(['""', 'ns1', 'ns2', 'ns*', '""*'])}`
    : '';
  if (rng.chance(0.3)) {
    const name = rng.pick(['rbd', 'rbd-read-only', 'read-only', 'read-write', 'nosuch']);
    return `profile ${name}${pool}${namespace}${network}`;
  }
  const spec = rng.pick([
    ...['r', 'w', 'rw', 'rwx', 'x', '*', 'rx', 'r class-read', 'class-write', 'rw class-write'],
    ...['class hello', 'class rbd metadata_list', 'class version read', 'class hello say_hello'],
  ]);
  if (rng.chance(0.2)) {
    const tag = rng.pick([
      'cephfs data=beta',
      'rbd data=*',
      'rbd *=alpha',
      'cephfs *=*',
      'rgw *=*',
    ]);
    return spec.startsWith('class ')
      ? `allow tag ${tag} ${spec}`
      : `allow ${spec} tag ${tag}${network}`;
  }
  const prefix = rng.chance(0.3) ? ` object_prefix ${rng.pick(['rbd_', 'rbd_data', 'p'])}` : '';
  // Behind a class its method would be looked for: the match goes before it.
  const match = `${pool}${namespace}${prefix}`;
  return spec.startsWith('class ')
    ? `allow${match} ${spec}${spec.split(' ').length > 2 ? network : ''}`
    : `allow ${spec}${match}${network}`;
}

function operation(
  rng: Rng,
  appMetadata: Readonly<Record<string, Record<string, Record<string, string>>>>,
): UserOperation {
  const pool = rng.pick(POOLS);
  const namespace = rng.pick(NAMESPACES);
  const where = { pool, namespace };
  const common = { ...where, appMetadata: appMetadata[pool], addr: '127.0.0.1' };
  const wants = { read: false, write: false, classes: [] };
  const kind = rng.int(6);
  if (kind === 0) {
    return {
      call: { kind: 'list', ...where },
      request: { ...common, ...wants, object: '', read: true },
    };
  }
  const object = rng.pick(OBJECTS);
  if (kind < 3) {
    return {
      call: { kind: 'read', ...where, object },
      request: { ...common, ...wants, object, read: true },
    };
  }
  if (kind < 5) {
    return {
      call: { kind: 'write', ...where, object },
      request: { ...common, ...wants, object, write: true },
    };
  }
  const method = rng.pick(METHODS);
  return {
    call: { kind: 'exec', ...where, object, class: method.name, method: method.method },
    request: { ...common, ...wants, object, classes: [{ ...method, allowListed: true }] },
  };
}

/**
 * Answers `{entity, kind, pool, namespace, object?, class?, method?}` with `{allowed, rc}`: only
 * EPERM and EACCES are a no, any other error is what came after the caps were passed.
 */
export const OPERATIONS = `
import errno, json, rados, subprocess, sys
admin = rados.Rados(conffile=sys.argv[1], name="client.admin")
admin.connect(timeout=30)
open_clusters = {}
keys = {}
def user(entity):
    if entity not in open_clusters:
        asked = {"prefix": "auth get-key", "entity": entity}
        rc, key, err = admin.mon_command(json.dumps(asked), b"")
        keys[entity] = key.decode()
        found = rados.Rados(conffile=sys.argv[1], name=entity, conf={"key": key.decode()})
        found.connect(timeout=30)
        while len(open_clusters) > 8:
            open_clusters.pop(next(iter(open_clusters))).shutdown()
        open_clusters[entity] = found
    return open_clusters[entity]
def operate(asked):
    ioctx = user(asked["entity"]).open_ioctx(asked["pool"])
    ioctx.set_namespace(asked["namespace"])
    kind = asked["kind"]
    if kind == "list":
        # The iterator of the module ends in silence when it is refused; the program says it.
        who = ["-c", sys.argv[1], "--name", asked["entity"], "--key", keys[asked["entity"]]]
        where = ["-p", asked["pool"], "-N", asked["namespace"], "ls"]
        no_input = subprocess.DEVNULL
        done = subprocess.run(["rados"] + who + where, stdin=no_input, capture_output=True)
        refused = b"Operation not permitted" in done.stderr
        return errno.EPERM if refused else done.returncode
    elif kind == "read":
        ioctx.read(asked["object"], 16)
    elif kind == "write":
        ioctx.write_full(asked["object"], b"x")
    else:
        ioctx.execute(asked["object"], asked["class"], asked["method"], b"")
    return 0
for line in sys.stdin:
    asked = json.loads(line)
    try:
        rc = operate(asked)
    except rados.Error as error:
        rc = error.errno or 0
    rc = abs(rc)
    print(json.dumps({"allowed": rc not in (errno.EPERM, errno.EACCES), "rc": rc}), flush=True)
`;
