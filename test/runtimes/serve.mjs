// Starts `cephgate serve` with a store of its own on a runtime, asks it, and stops it.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './programs.mjs';

/** For the start on a busy machine, and for the end. */
const DEADLINE_MS = 120_000;

/**
 * "serves" when its own examples are answered yes and no, it is ready, and SIGTERM ends it with 0.
 *
 * @param {string[]} command the runtime and its arguments, before the script's path
 */
export async function serves([program, ...args]) {
  const folder = await mkdtemp(join(tmpdir(), 'cephgate-serve-'));
  const script = join(root, 'src', 'cli', 'main.ts');
  const listen = ['--listen', 'unix:data/cephgate.sock', '--listen', 'tcp:127.0.0.1:0'];
  const child = spawn(program, [...args, script, 'serve', ...listen], { cwd: folder });
  const ended = new Promise((resolve) => child.on('close', resolve).on('error', resolve));
  const said = { out: '', err: '' };
  child.stdout.on('data', (text) => {
    said.out += text;
  });
  child.stderr.on('data', (text) => {
    said.err += text;
  });
  try {
    const url = await address(said, ended);
    // As an operator would: the two lines that it prints, one for a yes and one for a no.
    const lines = said.out.split('\n').filter((line) => line.startsWith('curl '));
    const decisions = lines.map((line) => JSON.parse(run('sh', ['-c', line])).decision);
    if (`${decisions}` !== 'true,false') throw new Error(`its curl lines said ${decisions}`);
    const ready = await fetch(`${url}/readyz`);
    if (ready.status !== 200) throw new Error(`/readyz answered ${ready.status}`);
    child.kill('SIGTERM');
    const code = await within(ended, 'it does not end');
    if (code !== 0) throw new Error(`it ended with ${code}: ${said.err}`);
    return 'serves';
  } catch (error) {
    throw new Error(`${program} serve: ${error.message}; it said: ${said.out}${said.err}`);
  } finally {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

async function address(said, ended) {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (const end = Date.now() + DEADLINE_MS; !over && Date.now() < end; ) {
    const line = /^listening on (http:\/\/127\.0\.0\.1:\d+)/m.exec(said.out);
    if (line !== null && said.out.split('\ncurl ').length > 2) return line[1];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it does not listen');
}

async function within(promise, otherwise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
