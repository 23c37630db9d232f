/**
 * What real clients say to a daemon, recorded passively on the loopback interface: a proxy on
 * another port would not do, as clients compare addresses. Needs root.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import * as control from '../src/mon/control.ts';
import { crcFraming, LIMITS_BEFORE_AUTH } from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { fromHex } from './twin/load.ts';

/** Whether this process may not record. */
export function captureMissing(): boolean {
  return process.platform !== 'linux' || process.getuid?.() !== 0;
}

/** What a client and a daemon said until they knew each other. */
export interface Handshake {
  /** Payloads of AUTH_REQUEST and AUTH_REQUEST_MORE. */
  readonly authorizers: readonly Uint8Array[];
  /** Payload of AUTH_REPLY_MORE: the sealed challenge. */
  readonly challenge: Uint8Array | undefined;
}

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly seq: number;
  readonly hex: string;
}

export class Capture {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #segments: Segment[] = [];

  /** Records what goes to and from a TCP port, from when this returns. */
  static async start(port: number): Promise<Capture> {
    const capture = new Capture(port);
    await new Promise<void>((resolve, reject) => {
      const lines = createInterface(capture.#child.stdout!);
      capture.#child.once('exit', () => reject(new Error('the recorder ended')));
      lines.on('line', (line) => {
        if (line === 'ready') resolve();
        else capture.#segments.push(JSON.parse(line) as Segment);
      });
    });
    return capture;
  }

  private constructor(port: number) {
    this.#port = port;
    this.#child = spawn('/usr/bin/python3', ['-c', RECORDER, `${port}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  async stop(): Promise<this> {
    // What was said a moment ago is still on its way through the recorder.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.removeAllListeners('exit');
    this.#child.kill('SIGKILL');
    await ended;
    return this;
  }

  /** Every connection that came as far as an authorizer. */
  handshakes(): Handshake[] {
    const clients = new Set(this.#segments.map(({ from, to }) => (to === this.#port ? from : to)));
    return [...clients].flatMap((client) => {
      const said = authPayloads(this.#stream(client, this.#port));
      const heard = authPayloads(this.#stream(this.#port, client));
      return said.length === 0 ? [] : [{ authorizers: said, challenge: heard[0] }];
    });
  }

  #stream(from: number, to: number): Uint8Array {
    const segments = this.#segments.filter((each) => each.from === from && each.to === to);
    const start = segments[0]?.seq ?? 0;
    const placed = segments.map(({ seq, hex }) => [(seq - start) >>> 0, fromHex(hex)] as const);
    const out = new Uint8Array(Math.max(0, ...placed.map(([at, bytes]) => at + bytes.length)));
    for (const [at, bytes] of placed) out.set(bytes, at);
    return out;
  }
}

/** The payloads of the AUTH frames of one direction, until something else comes. */
function authPayloads(stream: Uint8Array): Uint8Array[] {
  const reader = new FrameReader();
  reader.push(stream);
  const payloads: Uint8Array[] = [];
  try {
    reader.banner();
    for (;;) {
      const frame = reader.frame(crcFraming(1), LIMITS_BEFORE_AUTH)?.value;
      if (frame?.tag === control.TAG_HELLO) continue;
      if (frame?.tag === control.TAG_AUTH_REQUEST) {
        payloads.push(control.openControl(control.AUTH_REQUEST, frame).payload);
      } else if (frame?.tag === control.TAG_AUTH_REQUEST_MORE || frame?.tag === 4) {
        payloads.push(control.openControl(control.AUTH_REPLY_MORE, frame));
      } else return payloads;
    }
  } catch {
    return payloads;
  }
}

/** TCP segments of a port on lo, JSON lines. Each passes lo twice: outgoing ones are left out. */
const RECORDER = `
import json, socket, struct, sys
port = int(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
s.bind(("lo", 0))
print("ready", flush=True)
while True:
    packet, address = s.recvfrom(70000)
    if address[2] == 4 or len(packet) < 54: continue
    if packet[12:14] != b"\\x08\\x00" or packet[23] != 6: continue
    ip = packet[14:14 + struct.unpack("!H", packet[16:18])[0]]
    tcp = ip[(ip[0] & 15) * 4:]
    a, b, seq = struct.unpack("!HHI", tcp[:8])
    data = tcp[(tcp[12] >> 4) * 4:]
    if port in (a, b) and data:
        print(json.dumps({"from": a, "to": b, "seq": seq, "hex": data.hex()}), flush=True)
`;
