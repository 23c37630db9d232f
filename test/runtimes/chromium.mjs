// The raw driver in a page of headless Chromium (Debian package chromium), served on loopback.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
/** No page takes a tenth of this. */
const DEADLINE_MS = 300_000;

const PAGE = `<!doctype html><title>cephgate</title><script type="module">
import { drive } from './drive.mjs';
const told = {};
for (const build of ['simd', 'plain', 'relaxed']) {
  try {
    const module = await WebAssembly.compileStreaming(fetch('core.' + build + '.wasm'));
    const steps = new Uint8Array(await (await fetch('steps')).arrayBuffer());
    told[build] = await drive(module, steps);
  } catch (error) {
    told[build] = ['error ' + error];
  }
}
await fetch('result', { method: 'POST', body: JSON.stringify(told) });
</script>`;

const ARGUMENTS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-extensions'],
  ...['--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
];

/**
 * The "COUNT HASH" lines of each build, by its name.
 *
 * @param {string} stepsFile
 * @returns {Promise<Record<string, string[]>>}
 */
export async function inChromium(stepsFile) {
  const profile = await mkdtemp(join(tmpdir(), 'cephgate-chromium-'));
  let tell;
  const told = new Promise((resolve) => {
    tell = resolve;
  });
  const server = createServer((request, response) => {
    answer(request, response, stepsFile, tell).catch((error) =>
      response.writeHead(404).end(`${error}`),
    );
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const options = { stdio: ['ignore', 'ignore', 'pipe'], detached: true };
  const browser = spawn('chromium', [...ARGUMENTS, `--user-data-dir=${profile}`, url], options);
  let said = '';
  browser.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-4000);
  });
  const ended = new Promise((resolve) => browser.on('close', resolve).on('error', resolve));
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, DEADLINE_MS);
  });
  try {
    const result = await Promise.race([told, ended.then(() => undefined), late]);
    if (result === undefined) throw new Error(`chromium gave no result; it said: ${said}`);
    return JSON.parse(result);
  } finally {
    clearTimeout(timer);
    await stop(browser, ended);
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

async function answer(request, response, stepsFile, tell) {
  const name = request.url.slice(1);
  if (name === 'result') {
    let body = '';
    for await (const text of request.setEncoding('utf8')) body += text;
    response.end();
    return tell(body);
  }
  if (name === '') return response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  const [type, path] =
    name === 'drive.mjs'
      ? ['text/javascript', join(here, name)]
      : name === 'steps'
        ? ['application/octet-stream', stepsFile]
        : /^core\.[a-z]+\.wasm$/.test(name)
          ? ['application/wasm', join(here, '..', '..', 'wasm', name)]
          : [];
  if (path === undefined) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': type }).end(await readFile(path));
}

/** Ends the browser and the processes of its group. */
async function stop(browser, ended) {
  if (browser.pid === undefined) return;
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    try {
      process.kill(-browser.pid, signal);
    } catch {
      return;
    }
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 3000).unref())]);
  }
}
