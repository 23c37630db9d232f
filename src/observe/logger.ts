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
  let line = beginLine(nowNs, record.level ?? 'info', record.event ?? 'event');
  for (const name in record) {
    if (name !== 'level' && name !== 'event') line += lineField(name, record[name]);
  }
  return endLine(line);
}

/** The beginning of a line; `lineField` goes on with it, `endLine` ends it. */
export function beginLine(nowNs: bigint, level: unknown, event: unknown): string {
  // Many lines are of the same millisecond.
  if (nowNs !== lastNs) {
    lastNs = nowNs;
    lastTime = formatTime(nowNs);
  }
  return `{"time":"${lastTime}"${lineField('level', level)}${lineField('event', event)}`;
}

/** A field of a line, nothing where there is no value. `name` is one of ours. */
export function lineField(name: string, value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return `,"${name}":${quoted(value)}`;
  return `,"${name}":${JSON.stringify(printable(value))}`;
}

export function endLine(line: string): string {
  return `${line}}\n`;
}

function quoted(text: string): string {
  if (text.length > TEXT_LEN_MAX) return JSON.stringify(`${text.slice(0, TEXT_LEN_MAX)}...`);
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Anything but text. */
function printable(value: unknown): string | number | boolean | null {
  switch (typeof value) {
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

let lastNs = -1n;
let lastTime = '';

/** Longest text of one field: names from the network may be as long as a body. */
const TEXT_LEN_MAX = 1_024;
/** Text that is the same in JSON. */
const PLAIN = /^[ !#-[\]-~]*$/;
