// The conformance hash in every host that is installed: "HOST BUILD HOW HASH-1000 HASH-ALL".
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { inChromium } from './chromium.mjs';
import { bun, deno, here, installed, missing, root, run, workerd } from './programs.mjs';

const BUILDS = ['simd', 'plain', 'relaxed'];
/** Node 20 validates relaxed SIMD only behind a flag. */
const RELAXED = ['--experimental-wasm-relaxed-simd'];

/** @returns {Promise<{ host: string, build: string, how: string, marks: string[] }[]>} */
export async function hashes() {
  const folder = await mkdtemp(join(tmpdir(), 'cephgate-hosts-'));
  try {
    const steps = join(folder, 'steps');
    run(process.execPath, [built('hash'), '--record', steps]);
    return [
      ...typed(),
      ...raw(steps),
      ...(await chromium(steps)),
      ...(await workers(folder)),
      ...inC(folder),
      ...inJavaScriptCore(folder),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Through the typed engine: Node runs what was built, Deno and Bun the sources. */
function typed() {
  const source = join(root, 'test', 'conformance', 'hash.ts');
  return BUILDS.flatMap((build) => {
    const flags = build === 'relaxed' ? RELAXED : [];
    return [
      row('node', build, 'engine', run(process.execPath, [...flags, built('hash'), build])),
      row('deno', build, 'engine', run(deno, ['run', '-A', source, build])),
      row('bun', build, 'engine', run(bun, [source, build])),
    ];
  });
}

/** Through the ABI alone. */
function raw(steps) {
  const script = join(here, 'raw.mjs');
  return ['simd', 'plain'].flatMap((build) => [
    row('node', build, 'ABI', run(process.execPath, [script, build, steps])),
    row('deno', build, 'ABI', run(deno, ['run', '-A', script, build, steps])),
    row('bun', build, 'ABI', run(bun, [script, build, steps])),
  ]);
}

async function chromium(steps) {
  if (!installed('chromium')) return missing('chromium', 'apt-get install -y chromium') ?? [];
  const told = await inChromium(steps);
  return BUILDS.map((build) => row('chromium', build, 'ABI', told[build].join('\n')));
}

/** workerd compiles no bytes: the core is a module of the worker. */
async function workers(folder) {
  if (!installed(workerd)) {
    return missing('workerd', 'npm ci --prefix test/runtimes') ?? [];
  }
  await cp(join(here, 'drive.mjs'), join(folder, 'drive.mjs'));
  await writeFile(join(folder, 'worker.mjs'), WORKER);
  const rows = [];
  for (const build of ['simd', 'plain']) {
    await cp(join(root, 'wasm', `core.${build}.wasm`), join(folder, 'core.wasm'));
    await writeFile(join(folder, 'workerd.capnp'), WORKERD);
    const told = run(workerd, ['test', join(folder, 'workerd.capnp')], 'pipe', QUIET);
    rows.push(row('workerd', build, 'ABI', told));
  }
  return rows;
}

const QUIET = { stdio: ['ignore', 'pipe', 'ignore'] };
const WORKER = `import { drive } from 'drive.mjs';
import core from 'core.wasm';
import steps from 'steps';
export default {
  async test() {
    for (const line of await drive(core, new Uint8Array(steps))) console.log(line);
  },
};
`;
const WORKERD = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "drive", worker = (
  compatibilityDate = "2026-11-01",
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "drive.mjs", esModule = embed "drive.mjs"),
    (name = "core.wasm", wasm = embed "core.wasm"),
    (name = "steps", data = embed "steps"),
  ]))]);
`;

/** The plain build as C. */
function inC(folder) {
  if (!installed('wasm2c') || !installed('cc')) {
    return missing('wasm2c or cc', 'apt-get install -y wabt gcc libc6-dev') ?? [];
  }
  const plain = join(root, 'wasm', 'core.plain.wasm');
  run('wasm2c', ['-n', 'core', plain, '-o', join(folder, 'core.c')]);
  const sources = ['drive.c', 'host-wasm2c.c'].map((name) => join(root, 'test', 'c', name));
  const program = join(folder, 'drive');
  const include = ['-I', folder, '-I', join(root, 'wasm')];
  const all = [...sources, join(folder, 'core.c'), '-lwasm-rt-impl', '-lm'];
  run('cc', ['-std=c99', '-O1', '-w', ...include, '-o', program, ...all]);
  return [row('C, wasm2c', 'plain', 'ABI', run(program, [join(folder, 'steps')]))];
}

/** Only asked for: the library is large. */
function inJavaScriptCore(folder) {
  if (process.env.JAVASCRIPTCORE !== '1') return [];
  const name = 'javascriptcoregtk-4.1';
  if (!installed('pkg-config', ['--exists', name])) {
    return missing(name, 'apt-get install -y libjavascriptcoregtk-4.1-dev pkg-config gcc') ?? [];
  }
  const flags = run('pkg-config', ['--cflags', '--libs', name]).split(/\s+/);
  const sources = ['drive.c', 'host-jsc.c'].map((file) => join(root, 'test', 'c', file));
  const program = join(folder, 'drive-jsc');
  const include = ['-I', join(root, 'wasm')];
  run('cc', ['-std=c99', '-O1', ...include, '-o', program, ...sources, ...flags]);
  return ['simd', 'plain'].map((build) => {
    const wasm = join(root, 'wasm', `core.${build}.wasm`);
    return row('C, JavaScriptCore', build, 'ABI', run(program, [join(folder, 'steps'), wasm]));
  });
}

function built(name) {
  return join(root, 'dist', 'test', 'conformance', `${name}.js`);
}

function row(host, build, how, printed) {
  return { host, build, how, marks: printed.split('\n') };
}

/** The lines of the first row in the README, made and put there by one command. */
export async function writeReadme() {
  const path = join(root, 'README.md');
  const marks = run(process.execPath, [built('hash'), 'plain']).split('\n');
  const text = await readFile(path, 'utf8');
  const lines = marks.map((mark) => mark.replace(/^(\d+) (\w+)$/, '$2  first $1'));
  const block = `<!-- conformance hashes -->\n\`\`\`\n${lines.join('\n')}\n\`\`\``;
  await writeFile(path, text.replace(/<!-- conformance hashes -->\n```\n[\s\S]*?```/, block));
}
