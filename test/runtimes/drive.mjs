// Drives the core by its ABI alone, from a file of steps (test/conformance/recorder.ts), in any
// JavaScript host with WebAssembly and WebCrypto. Imports nothing, so that workers and pages take
// it as it is. Numbers below are those of assembly/abi.ts.

const MAGIC = 0x70617463;
const LAYOUT = { HOST: 8, REQUEST: 16, RESPONSE: 24, SECRET: 32, WORK: 40 };
const EXPORTS = [
  ...['abi_version', 'init', 'layout', 'run', 'secret_put', 'secret_remove', 'secret_clear'],
  ...['secret_count', 'session_release', 'revoke', 'cache_clear', 'caps_view', 'seal', 'open'],
  ...['derive', 'challenge_hash', 'primitive', 'work_wipe'],
];

/**
 * "COUNT HASH" lines of a file of steps.
 *
 * @param {WebAssembly.Module} module a build of the core
 * @param {Uint8Array} file
 * @returns {Promise<string[]>}
 */
export async function drive(module, file) {
  const { exports: core } = new WebAssembly.Instance(module, {});
  const out = new Output();
  const marks = [];
  const steps = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (steps.getUint32(0, true) !== MAGIC) throw new Error('this is no file of steps');
  let at = 4;
  const next = () => {
    at += 4;
    return steps.getUint32(at - 4, true);
  };
  const address = (block) =>
    new DataView(core.memory.buffer).getUint32(core.layout() + block, true);
  const memory = (from, length) => new Uint8Array(core.memory.buffer, from, length);
  const run = {
    1: () => {
      const [block, offset, length] = [next(), next(), next()];
      memory(address(block) + offset, length).set(file.subarray(at, at + length));
      at += (length + 3) & ~3;
    },
    2: () => {
      const [name, ...args] = [EXPORTS[next()], next(), next(), next(), next()];
      const [result, expected] = [(core[name](...args) ?? 0) >>> 0, next()];
      if (result !== expected) throw new Error(`${name}: got ${result}, expected ${expected}`);
    },
    3: () => {
      out.add(memory(address(LAYOUT.RESPONSE), core.run(next())));
      for (const part of secrets(core, address(LAYOUT.SECRET))) out.add(part);
    },
    4: () => out.add(memory(address(next()) + next(), next())),
    5: () => marks.push([next(), out.length]),
  };
  while (at < file.length) run[next()]();
  const lines = marks.map(async ([vectors, length]) => `${vectors} ${await out.hash(length)}`);
  return Promise.all(lines);
}

/** Nonce, key and connection secret of each entry of the secret block. */
function* secrets(core, block) {
  const view = new DataView(core.memory.buffer);
  let entry = block + 8;
  for (let left = view.getUint32(block, true); left > 0; left--) {
    yield new Uint8Array(core.memory.buffer, entry + 8, 8);
    const length = view.getUint32(entry + 16, true) + view.getUint32(entry + 20, true);
    yield new Uint8Array(core.memory.buffer, entry + 24, length);
    entry += view.getUint32(entry, true);
  }
}

/** Everything that is hashed: WebCrypto hashes only what is complete. */
class Output {
  length = 0;
  #bytes = new Uint8Array(1 << 20);

  add(bytes) {
    if (this.length + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array((this.length + bytes.length) * 2);
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  async hash(length) {
    const digest = await crypto.subtle.digest('SHA-256', this.#bytes.subarray(0, length));
    return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
  }
}
