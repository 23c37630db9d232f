/**
 * Trouble from outside: files, addresses, settings, a server that does not answer. A denial is
 * never one of these (it is a value), and misuse by our caller throws TypeError or RangeError.
 */

/** The closed list of codes; nothing matches on message text. */
export type ErrorCode =
  | 'config.unknown'
  | 'config.value'
  | 'file.missing'
  | 'file.mode'
  | 'file.content'
  | 'file.write'
  | 'listen.address'
  | 'listen.in_use'
  | 'listen.failed'
  | 'request.failed'
  | 'response.unproven'
  | MonErrorCode
  | StoreErrorCode;

/**
 * `address`: a monitor's address that we cannot use. `closed`: it closed the connection. `cluster`:
 * it is of another cluster. `protocol`: it broke the protocol. `refused`: it said no.
 * `timeout`: it did not answer in time. `unreachable`: no connection to it.
 */
export type MonErrorCode =
  | 'mon.address'
  | 'mon.closed'
  | 'mon.cluster'
  | 'mon.protocol'
  | 'mon.refused'
  | 'mon.timeout'
  | 'mon.unreachable';

/**
 * `locked`: another process is the writer. `mode`: others can read or write the file or folder.
 * `content`: not a store, or damaged. `version`: written by a newer program. `driver`: this runtime
 * has no SQLite. `compacted`, `future`: a snapshot that is not kept any more, or not reached yet.
 * `limit`: a transaction too large. `full`, `readonly`, `busy`: the disk or file takes no write,
 * and nothing was written. `failed`: the store must be opened again. `closed`: it was closed.
 * `refused`: a shared store does not take our login. `unreachable`: no member of it answers.
 */
export type StoreErrorCode =
  | 'store.address'
  | 'store.busy'
  | 'store.closed'
  | 'store.compacted'
  | 'store.content'
  | 'store.driver'
  | 'store.failed'
  | 'store.full'
  | 'store.future'
  | 'store.limit'
  | 'store.locked'
  | 'store.mode'
  | 'store.readonly'
  | 'store.refused'
  | 'store.unreachable'
  | 'store.version';

/** What all our error classes have in common. The message holds no key bytes. */
export class CephgateError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A flag, an environment variable or a line of the config file that we do not accept. */
export class ConfigError extends CephgateError {
  declare readonly code: 'config.unknown' | 'config.value';
}

/** A file that is missing, open to others, or does not hold what it should. */
export class FileError extends CephgateError {
  declare readonly code: 'file.missing' | 'file.mode' | 'file.content' | 'file.write';
}

/** A listener that cannot be opened, or must not be. */
export class ListenError extends CephgateError {
  declare readonly code: 'listen.address' | 'listen.in_use' | 'listen.failed';
}

/** A request of the command line to a server failed, or was refused as a request. */
export class RequestError extends CephgateError {
  declare readonly code: 'request.failed' | 'response.unproven';
}

/** The store does not open, answer or take a write. */
export class StoreError extends CephgateError {
  declare readonly code: StoreErrorCode;
}

/** A monitor of a Ceph cluster: its address, the way to it, what it said. */
export class MonError extends CephgateError {
  declare readonly code: MonErrorCode;
  /** Negative, if the monitor gave one. */
  readonly errno: number | undefined;

  constructor(code: MonErrorCode, message: string, errno?: number) {
    super(code, message);
    this.errno = errno;
  }
}
