/**
 * Structured logs: one JSON object a line, `time`, `level` and `event` first. Only scalars are
 * printed as they are: whatever else gets here by mistake (bytes, a CryptoKey, a verdict) is
 * printed as what it is and never as what it holds.
 */

import { formatTime } from '../http/codec.ts';
import type { LogRecord } from '../http/deps.ts';

export interface LoggerOptions {
  /** Takes one line, with its end. */
  readonly write: (line: string) => void;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** What every record has besides. */
  readonly fields?: LogRecord;
}

export function createLogger(options: LoggerOptions): (record: LogRecord) => void {
  const { write, clock, fields } = options;
  if (fields === undefined) return (record) => write(formatLine(clock(), record));
  return (record) => write(formatLine(clock(), { ...record, ...fields }));
}

/** A record as its line. `level` is `info` and `event` is `event` where the record has none. */
export function formatLine(nowNs: bigint, record: Readonly<Record<string, unknown>>): string {
  const { level = 'info', event = 'event', ...fields } = record;
  const line: Record<string, unknown> = { time: formatTime(nowNs) };
  for (const [name, value] of Object.entries({ level, event, ...fields })) {
    if (value !== undefined) line[name] = printable(value);
  }
  return `${JSON.stringify(line)}\n`;
}

function printable(value: unknown): string | number | boolean | null {
  switch (typeof value) {
    case 'string':
      return value.length <= TEXT_LEN_MAX ? value : `${value.slice(0, TEXT_LEN_MAX)}...`;
    case 'boolean':
    case 'number':
      return value;
    case 'bigint':
      return value.toString();
    case 'object':
      if (value === null) return null;
      if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
      return `<${value.constructor?.name ?? 'object'}>`;
    default:
      return `<${typeof value}>`;
  }
}

/** Longest text of one field: names from the network may be as long as a body. */
const TEXT_LEN_MAX = 1_024;
