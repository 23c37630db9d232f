/** The memory section of a module (WebAssembly core specification 1.0, section 5.5.8). */

const HEADER_LEN = 8;
const SECTION_MEMORY = 5;

/**
 * The module with a memory that begins with `pages` pages, where it would have to grow to them. To
 * grow detaches a buffer, and once that has happened V8 looks whether it has at every access to
 * every typed array there is: a verify with objects takes 2 percent longer.
 *
 * @param module a valid module; one that has no memory, or as much, is given back as it is
 */
export function withPages(module: Uint8Array<ArrayBuffer>, pages: number): Uint8Array<ArrayBuffer> {
  for (let at = HEADER_LEN; at < module.length; ) {
    const length = readLeb(module, at + 1);
    const end = length.next + length.value;
    if (module[at] === SECTION_MEMORY) {
      // One memory: u8 1, u8 flags, then the least number of pages and perhaps the most.
      if (module[length.next] !== 1) return module;
      const least = readLeb(module, length.next + 2);
      if (least.value >= pages) return module;
      const head = [...module.subarray(length.next, length.next + 2), ...leb(pages)];
      const section = [...head, ...module.subarray(least.next, end)];
      return joined(
        module.subarray(0, at),
        [SECTION_MEMORY, ...leb(section.length), ...section],
        module.subarray(end),
      );
    }
    at = end;
  }
  return module;
}

/** An unsigned number, seven bits a byte, and where the next thing begins. */
function readLeb(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  let next = at;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value, next };
  }
}

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}

function joined(...parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
