/** Real file operations of users with different MDS caps, and the requests that each of them is. */

import type { Cluster } from './ceph.ts';
import type { Rng } from './rng.ts';

/** An inode that an operation meets. */
export interface Inode {
  /** From the root, with its slash. */
  readonly path: string;
  readonly directory: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** What an MDS asks the caps about one inode. */
export interface FileRequest {
  readonly inode: Inode;
  readonly mask: readonly string[];
  readonly newUid?: number;
  readonly newGid?: number;
  /** Asked once, when the session is opened. */
  readonly fs?: string;
}

export interface FileOperation {
  /** For `FILE_OPERATIONS`. */
  readonly call: Readonly<Record<string, unknown>>;
  /** All of these must be allowed: the way to the inode, then what is done there. */
  readonly requests: readonly FileRequest[];
}

export interface FileUser {
  readonly entity: string;
  readonly caps: string;
  readonly uid: number;
  readonly gid: number;
  /** Where a mount is tried, outermost first; operations lie below the first that works. */
  readonly mounts: readonly FileOperation[];
  readonly operations: readonly FileOperation[];
}

/** Users with random caps, and for each a tree of its own, so that no one waits for another. */
export async function fileUsers(cluster: Cluster, rng: Rng, count: number): Promise<FileUser[]> {
  const users: FileUser[] = [];
  const inodes: Inode[] = [];
  for (let i = 0; i < count; i++) {
    const entity = `client.files${i}`;
    const top = `/u${i}`;
    const [uid, gid] = [rng.pick(UIDS), rng.pick(GIDS)];
    const caps = capsText(rng, top);
    const given = ['mon', 'allow r', 'osd', 'allow rw', 'mds', caps];
    const made = await cluster.command({ prefix: 'auth get-or-create', entity, caps: given });
    if (made.rc !== 0) throw new Error(`${caps}: ${made.err}`);
    const tree = ['', ...DIRECTORIES].map((name) => inode(rng, `${top}${name}`, true));
    inodes.push(...tree);
    const operations: FileOperation[] = [];
    for (let j = 0; j < OPERATIONS_A_USER; j++) {
      const { operation, file } = operationOf(rng, j, tree);
      operations.push(operation);
      if (file !== undefined) inodes.push(file);
    }
    const mounts = [ROOT, ...tree].map((at) => ({
      call: { kind: 'mount', path: at.path },
      requests: [{ ...read(at), fs: FS_NAME }],
    }));
    // What a listing shows is then known to the client, which asks for less.
    operations.sort((a, b) => Number(a.call.kind === 'list') - Number(b.call.kind === 'list'));
    users.push({ entity, caps, uid, gid, mounts, operations });
  }
  const admin = cluster.operations(FILE_OPERATIONS);
  const mounted = { kind: 'mount', entity: 'client.admin', uid: 0, gid: 0, path: '/' };
  for (const call of [mounted, { kind: 'make', inodes }, { kind: 'unmount' }]) {
    const { rc } = (await admin.ask(call)) as { rc: number };
    if (rc !== 0) throw new Error(`${call.kind}: ${rc}`);
  }
  await admin.end();
  return users;
}

function inode(rng: Rng, path: string, directory: boolean): Inode {
  const [uid, gid, mode] = [rng.pick(UIDS), rng.pick(GIDS), rng.pick(MODES)];
  return { path, directory, uid, gid, mode };
}

function capsText(rng: Rng, top: string): string {
  // Every other one lets its user come in somewhere, else few operations would be tried.
  const first = rng.chance(0.6) ? [rng.pick(['allow r', `allow rw path=${top}/a`])] : [];
  const grants = Array.from({ length: 1 + rng.int(2) }, () => grant(rng, top));
  return [...first, ...grants].join(rng.pick([', ', ';', ' , ']));
}

function grant(rng: Rng, top: string): string {
  const perm = rng.pick(['r', 'rw', 'rw', 'rwp', 'rws', 'rwps', 'rwf', 'rwfps', '*', 'all']);
  const below = rng.pick(['', '/a', '/a/sub', '/b', '/a/', '/nosuch']);
  const path = rng.chance(0.6) ? ` path=${rng.pick(['', '"'])}${top}${below}` : '';
  const quoted = path.includes('"') ? `${path}"` : path;
  const network = rng.chance(0.15)
    ? ` network ${rng.pick(['127.0.0.0/8', '127.0.0.0/8', '10.0.0.0/8'])}`
    : '';
  if (rng.chance(0.5)) {
    const gids = rng.chance(0.6) ? ` gids=${rng.pick(['100', '100,200', '200'])}` : '';
    return `allow ${perm}${quoted} uid=${rng.pick(UIDS)}${gids}${network}`;
  }
  const fs = rng.chance(0.2) ? ` fsname=${rng.pick(['labfs', 'labfs', 'nosuch'])}` : '';
  const squash = rng.chance(0.2) ? ' root_squash' : '';
  return `allow ${perm}${fs}${quoted}${squash}${network}`;
}

/** An operation in one of the directories, on a file of its own if it is on one. */
function operationOf(
  rng: Rng,
  index: number,
  tree: readonly Inode[],
): { operation: FileOperation; file: Inode | undefined } {
  const directory = rng.pick(tree);
  const way = [ROOT, ...tree].filter(({ path }) => within(directory.path, path)).map(read);
  const kind = rng.pick(KINDS);
  if (IN_DIRECTORY.includes(kind)) {
    const path =
      kind === 'create' || kind === 'mkdir' ? `${directory.path}/n${index}` : directory.path;
    const call = { kind, path, name: `s${index}` };
    const requests = [...way, { inode: directory, mask: MASKS[kind]! }];
    return { operation: { call, requests }, file: undefined };
  }
  const file = inode(rng, `${directory.path}/f${index}`, false);
  // A client does not ask for what is so already.
  const newUid = rng.pick(UIDS.filter((uid) => uid !== file.uid));
  const newGid = rng.pick(GIDS.filter((gid) => gid !== file.gid));
  const call = { kind, path: file.path, mode: 0o640, uid: newUid, gid: newGid };
  // Seen: a rename is a write to its directory and to what is renamed.
  const held = kind === 'unlink' ? [directory] : kind === 'rename' ? [directory, file] : [file];
  const wanted = held.map((each) => ({ inode: each, mask: MASKS[kind]!, newUid, newGid }));
  return { operation: { call, requests: [...way, read(file), ...wanted] }, file };
}

function read(at: Inode): FileRequest {
  return { inode: at, mask: ['READ'] };
}

/** Whether a path is this directory or lies below it. */
export function within(path: string, directory: string): boolean {
  const start = directory === '/' ? '' : directory;
  return path === start || path.startsWith(`${start}/`);
}

const FS_NAME = 'labfs';
const OPERATIONS_A_USER = 24;
const DIRECTORIES = ['/a', '/a/sub', '/b', '/ab'];
const UIDS = [0, 1000, 2000];
const GIDS = [0, 100, 200];
const MODES = [0o777, 0o755, 0o750, 0o700, 0o770, 0o070, 0o007];
const ROOT: Inode = { path: '/', directory: true, uid: 0, gid: 0, mode: 0o755 };

const MASKS: Readonly<Record<string, readonly string[]>> = {
  stat: ['READ'],
  list: ['READ'],
  create: ['WRITE'],
  mkdir: ['WRITE'],
  unlink: ['WRITE'],
  rename: ['WRITE'],
  read: ['READ'],
  write: ['WRITE'],
  chmod: ['WRITE'],
  chown: ['WRITE', 'CHOWN'],
  chgrp: ['WRITE', 'CHGRP'],
  xattr: ['WRITE'],
  quota: ['SET_VXATTR'],
  layout: ['SET_VXATTR'],
  snapshot: ['WRITE', 'SNAPSHOT'],
};
const KINDS = Object.keys(MASKS);
const IN_DIRECTORY = ['stat', 'list', 'create', 'mkdir', 'quota', 'layout', 'snapshot'];

/**
 * Answers each operation with `{allowed, rc}`: only EPERM and EACCES are a no. One process has one
 * mount; it ends without unmounting, which would wait for what was refused.
 */
export const FILE_OPERATIONS = `
import cephfs, errno, json, os, sys
files = None
root = ""
def mount(asked):
    global files, root
    conf = {"client_mount_uid": str(asked["uid"]), "client_mount_gid": str(asked["gid"]),
            "client_permissions": "false", "client_mount_timeout": "20", "admin_socket": "",
            "keyring": sys.argv[2], "key": asked.get("key", "")}
    who = asked["entity"].split(".", 1)[1]
    found = cephfs.LibCephFS(conf=conf, conffile=sys.argv[1], auth_id=who)
    found.mount(mount_root=asked["path"].encode())
    files, root = found, asked["path"].rstrip("/")
def make(inodes):
    for each in inodes:
        path = each["path"].encode()
        if each["directory"]:
            files.mkdir(path, 0o777)
        else:
            files.close(files.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        files.chown(path, each["uid"], each["gid"])
        files.chmod(path, each["mode"])
def operate(asked):
    kind = asked["kind"]
    if kind == "mount":
        return mount(asked)
    if kind == "unmount":
        files.unmount()
        return files.shutdown()
    if kind == "make":
        return make(asked["inodes"])
    path = (asked["path"][len(root):] or "/").encode()
    if kind == "stat":
        files.stat(path)
    elif kind == "list":
        with files.opendir(path) as found:
            while files.readdir(found):
                pass
    elif kind == "create":
        files.close(files.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif kind == "mkdir":
        files.mkdir(path, 0o755)
    elif kind == "unlink":
        files.unlink(path)
    elif kind == "rename":
        files.rename(path, path + b".renamed")
    elif kind == "read":
        files.close(files.open(path, os.O_RDONLY))
    elif kind == "write":
        files.close(files.open(path, os.O_WRONLY))
    elif kind == "chmod":
        files.chmod(path, asked["mode"])
    elif kind == "chown":
        files.chown(path, asked["uid"], -1)
    elif kind == "chgrp":
        files.chown(path, -1, asked["gid"])
    elif kind == "xattr":
        files.setxattr(path, b"user.x", b"1", 0)
    elif kind == "quota":
        files.setxattr(path, b"ceph.quota.max_files", b"100000", 0)
    elif kind == "layout":
        files.setxattr(path, b"ceph.dir.layout.stripe_count", b"1", 0)
    elif kind == "snapshot":
        files.mkdir(path.rstrip(b"/") + b"/.snap/" + asked["name"].encode(), 0o755)
for line in sys.stdin:
    rc = 0
    try:
        operate(json.loads(line))
    except cephfs.Error as error:
        rc = abs(getattr(error, "errno", None) or error.args[0])
    print(json.dumps({"allowed": rc not in (errno.EPERM, errno.EACCES), "rc": rc}), flush=True)
os._exit(0)
`;
