/**
 * What real clients say to a daemon, recorded passively on the loopback interface: a proxy on
 * another port would not do, as clients compare addresses. Needs root.
 */

import { Buffer } from 'node:buffer';
import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import * as control from '../src/mon/control.ts';
import { crcFraming, type Frame, LIMITS_BEFORE_AUTH } from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { fromHex } from './twin/load.ts';

/** Whether this process may not record. */
export function captureMissing(): boolean {
  return process.platform !== 'linux' || process.getuid?.() !== 0;
}

/** What a client and a server said until they knew each other. */
export interface Handshake {
  /** The server's TCP port. */
  readonly port: number;
  /** Payloads of AUTH_REQUEST and AUTH_REQUEST_MORE: logins, or authorizers. */
  readonly requests: readonly Uint8Array[];
  /** Payload of AUTH_REPLY_MORE: a challenge. */
  readonly challenge: Uint8Array | undefined;
  /** Of AUTH_DONE; undefined if the client was not let in. */
  readonly done: control.AuthDone | undefined;
}

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly seq: number;
  readonly hex: string;
}

export class Capture {
  readonly #child: ChildProcess;
  readonly #ports: readonly number[];
  readonly #segments: Segment[] = [];

  /** Records what goes to and from TCP ports, from when this returns. */
  static async start(...ports: readonly number[]): Promise<Capture> {
    const capture = new Capture(ports);
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

  private constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#child = spawn('/usr/bin/python3', ['-c', RECORDER, ...ports.map(String)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  async stop(): Promise<this> {
    // What was said a moment ago is still on its way through the recorder.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.removeAllListeners('exit');
    this.#child.kill('SIGKILL');
    await ended;
    return this;
  }

  /** Every connection that came as far as an AUTH_REQUEST. */
  handshakes(): Handshake[] {
    const found = new Map<string, Handshake>();
    for (const { from, to } of this.#segments) {
      const [client, port] = this.#ports.includes(to) ? [from, to] : [to, from];
      const name = `${client} ${port}`;
      if (!found.has(name)) found.set(name, this.#handshake(client, port));
    }
    return [...found.values()].filter(({ requests }) => requests.length > 0);
  }

  #handshake(client: number, port: number): Handshake {
    const said = authFrames(this.#stream(client, port));
    const heard = authFrames(this.#stream(port, client));
    const more = heard.find(({ tag }) => tag === control.TAG_AUTH_REPLY_MORE);
    const done = heard.find(({ tag }) => tag === control.TAG_AUTH_DONE);
    return {
      port,
      requests: said.flatMap((frame) => {
        if (frame.tag === control.TAG_AUTH_REQUEST) {
          return [control.openControl(control.AUTH_REQUEST, frame).payload];
        }
        if (frame.tag !== control.TAG_AUTH_REQUEST_MORE) return [];
        return [control.openControl(control.AUTH_REQUEST_MORE, frame)];
      }),
      challenge: more && control.openControl(control.AUTH_REPLY_MORE, more),
      done: done && control.openControl(control.AUTH_DONE, done),
    };
  }

  /** One direction, as far as it was recorded without a gap. */
  #stream(from: number, to: number): Uint8Array {
    const segments = this.#segments.filter((each) => each.from === from && each.to === to);
    const start = segments[0]?.seq ?? 0;
    const placed = segments.map(({ seq, hex }) => [(seq - start) | 0, fromHex(hex)] as const);
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (const [at, bytes] of placed.sort(([a], [b]) => a - b)) {
      if (at > length) break;
      const piece = bytes.subarray(Math.max(length - at, 0));
      pieces.push(piece);
      length += piece.length;
    }
    return Buffer.concat(pieces);
  }
}

/** The frames of one direction up to AUTH_DONE or to something that is no frame in the clear. */
function authFrames(stream: Uint8Array): Frame[] {
  const reader = new FrameReader();
  reader.push(stream);
  const frames: Frame[] = [];
  try {
    reader.banner();
    for (;;) {
      const frame = reader.frame(crcFraming(1), LIMITS_BEFORE_AUTH)?.value;
      if (frame === undefined || frame.tag > control.TAG_AUTH_DONE) return frames;
      frames.push(frame);
    }
  } catch {
    return frames;
  }
}

/** TCP segments of ports on lo, JSON lines. Each passes lo twice: outgoing ones are left out. */
const RECORDER = `
import json, socket, struct, sys
ports = set(map(int, sys.argv[1:]))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
SO_RCVBUFFORCE = 33
s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
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
    if (a in ports or b in ports) and data:
        print(json.dumps({"from": a, "to": b, "seq": seq, "hex": data.hex()}), flush=True)
`;
