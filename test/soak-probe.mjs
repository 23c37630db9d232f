// Asks for a decision again and again and measures how long each takes, in a process of its own:
//   node soak-probe.mjs '{"pid", "socketPath", "body", "wanted", "ms", "pauseMs"}'
// At least so long, and until the slowest hundredth is a few of many. Prints {"count", "wrong",
// "p50", "p99", "max", "wall"}, times in milliseconds, less what server (the threads that collect its
// garbage included) and prober were kept waiting for a processor; "wall" is the p99 with that.
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

const { pid, socketPath, body, wanted, ms, pauseMs } = JSON.parse(process.argv[2]);
const request =
  'POST /v1/verify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n' +
  `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const ANSWER_MS = 30_000;
const COUNT_MIN = 400;
const MORE_MS = 15_000;

let socket;
let text = '';
let settle = () => undefined;

function open() {
  socket = connect({ path: socketPath });
  socket.setEncoding('utf8').on('data', (more) => {
    text += more;
    const end = text.indexOf('\r\n\r\n') + 4;
    const length = /^content-length: ([0-9]+)\r$/im.exec(text)?.[1];
    if (end > 4 && length !== undefined && text.length >= end + Number(length)) settle(text);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => settle(''));
}

/** The whole answer; nothing if there was none. */
function ask() {
  return new Promise((resolve) => {
    const late = setTimeout(() => settle(''), ANSWER_MS);
    settle = (answer) => {
      clearTimeout(late);
      settle = () => undefined;
      text = '';
      resolve(answer);
    };
    socket.write(request);
  });
}

/** How long each thread of a process has waited for a processor, in ms; Linux alone tells. */
function waits(id) {
  const found = new Map();
  try {
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      const text = readFileSync(`/proc/${id}/task/${thread}/schedstat`, 'utf8');
      found.set(Number(thread), Number(text.split(' ')[1]) / 1e6);
    }
  } catch {
    // A thread that has ended.
  }
  return found;
}

/** The main threads' waits, and the longest of those that the server's one waits for in turn. */
function waited(before) {
  const [server, prober] = [waits(pid), waits(process.pid)];
  const since = (now, then, thread) =>
    (now.get(thread) ?? 0) - (then.get(thread) ?? now.get(thread));
  const helpers = [...server.keys()].filter((thread) => thread !== pid);
  return (
    since(server, before.server, pid) +
    since(prober, before.prober, process.pid) +
    Math.max(0, ...helpers.map((thread) => since(server, before.server, thread)))
  );
}

open();
const walls = [];
const times = [];
let wrong = 0;
const end = performance.now() + ms;
while (performance.now() < end || (times.length < COUNT_MIN && performance.now() < end + MORE_MS)) {
  const before = { server: waits(pid), prober: waits(process.pid) };
  const begun = performance.now();
  const answer = await ask();
  const wall = performance.now() - begun;
  walls.push(wall);
  times.push(Math.max(0, wall - waited(before)));
  if (!answer.includes(wanted)) {
    wrong += 1;
    socket.destroy();
    open();
  }
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
}
socket.destroy();
const quantile = (values, q) => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
};
const [p50, p99, max] = [0.5, 0.99, 1].map((q) => quantile(times, q));
const all = { count: times.length, wrong, p50, p99, max, wall: quantile(walls, 0.99) };
console.log(JSON.stringify(all));
