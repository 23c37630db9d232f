// Hostile clients, one kind at a time, in a process of their own that can be killed:
//   node soak-abuse.mjs KIND '{"socketPath", "host", "port", "framesPath", "connections"}'
// Prints "on" once it is at it, and goes on for at most a minute unless it is ended before.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

const [kind, json] = process.argv.slice(2);
const { socketPath, host, port, framesPath, connections } = JSON.parse(json);
const HTTP = { path: socketPath };
const TCP = { host, port };
const FRAMES = { path: framesPath };
const MINUTE_MS = 60_000;

/** A connection that never ends us, whatever becomes of it. */
function open(where, begin = () => undefined) {
  const socket = connect(where, () => begin(socket));
  socket.on('error', () => undefined);
  return socket;
}

/** Keeps `count` connections, opened over some time, each anew when it has ended. */
function keep(count, where, begin, overMs = 500) {
  const again = (n) => {
    const socket = open(where, begin);
    socket.on('close', () => setTimeout(again, 20, n));
  };
  for (let n = 0; n < count; n++) setTimeout(again, n % overMs, n);
}

const head = (more) =>
  `POST /v1/verify HTTP/1.1\r\nhost: ${host}:${port}\r\ncontent-type: application/json\r\n${more}`;

/** Writes on and on, as far as the other side takes it. */
function flood(socket, bytes) {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on('drain', more);
  more();
}

function frame(length, bytes = 24) {
  const record = Buffer.alloc(bytes);
  record.writeUInt32LE(length >>> 0, 0);
  record.writeUInt16LE(1, 4);
  return record;
}

const KINDS = {
  // No abuse: a neighbour who takes as much of the processor as the others do at most.
  work: () => {
    setInterval(() => {
      for (const end = performance.now() + 4; performance.now() < end; );
    }, 10);
  },
  connections: () => {
    const overMs = 2_000;
    for (const where of [HTTP, TCP]) keep(connections * 0.45, where, undefined, overMs);
    keep(connections * 0.1, FRAMES, undefined, overMs);
  },
  'slow loris': () => {
    keep(200, TCP, (socket) => {
      const text = head(`x: ${'a'.repeat(1_000)}\r\n\r\n`);
      let at = 0;
      const timer = setInterval(() => socket.write(text[at++ % text.length]), 200);
      socket.on('close', () => clearInterval(timer));
    });
  },
  'half frames': () => {
    keep(900, FRAMES, (socket) => socket.write(frame(1_048_576, 100_000)));
  },
  'bodies of 1 GB': () => {
    const junk = Buffer.alloc(65_536, 'A');
    for (const where of [HTTP, TCP]) {
      keep(4, where, (socket) => {
        socket.write(head('content-length: 1073741824\r\n\r\n'));
        flood(socket, junk);
      });
      keep(4, where, (socket) => {
        socket.write(head('transfer-encoding: chunked\r\n\r\n'));
        flood(socket, Buffer.concat([Buffer.from('10000\r\n'), junk, Buffer.from('\r\n')]));
      });
    }
  },
  garbage: () => {
    for (const where of [HTTP, TCP, FRAMES]) {
      keep(10, where, (socket) => socket.write(randomBytes(1 + (randomBytes(1)[0] << 6))));
    }
  },
  'no reader': () => {
    // Verdicts are longer than these records, and nobody takes them.
    const asks = Buffer.concat(Array.from({ length: 2_000 }, () => frame(24)));
    keep(50, FRAMES, (socket) => flood(socket.pause(), asks));
  },
  'pipelines that nobody reads': () => {
    const get = Buffer.from(
      `GET /openapi.json HTTP/1.1\r\nhost: ${host}:${port}\r\n\r\n`.repeat(50),
    );
    for (const where of [HTTP, TCP]) keep(20, where, (socket) => flood(socket.pause(), get));
  },
  lengths: () => {
    const lengths = [0, 1, 23, 1_048_577, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    keep(20, FRAMES, (socket) => {
      for (const length of lengths) socket.write(Buffer.concat([frame(24), frame(length)]));
    });
    const texts = [...lengths.map(String), '-1', '99999999999999999999', '0x10', '1e3'];
    keep(20, TCP, (socket) => {
      socket.write(head(`content-length: ${texts[randomBytes(1)[0] % texts.length]}\r\n\r\n{}`));
    });
  },
};

KINDS[kind]();
console.log('on');
setTimeout(() => process.exit(0), MINUTE_MS);
