/** Looks for secrets in whatever came out: raw, hex, base64, and as lists of numbers. */

/** How much of a secret in one piece is a leak: in bytes, and in characters of a text. */
const PIECE = 8;
const TEXT_PIECE = 16;

type Form = 'raw' | 'hex' | 'numbers' | 'base64' | 'text';

export class Canaries {
  /** By form: what must not be seen, and whose it is. */
  readonly #needles: Readonly<Record<Form, Map<string, string>>> = {
    ...{ raw: new Map(), hex: new Map(), numbers: new Map(), base64: new Map(), text: new Map() },
  };

  /** Any 8 bytes in a row of these, in any form, must not be seen. */
  add(name: string, secret: Uint8Array): void {
    const bytes = Buffer.from(secret);
    for (let at = 0; at + PIECE <= bytes.length; at++) {
      const piece = bytes.subarray(at, at + PIECE);
      this.#needles.raw.set(piece.toString('latin1'), name);
      this.#needles.hex.set(piece.toString('hex'), name);
      this.#needles.numbers.set([...piece].join(), name);
      // What the piece looks like in base64 depends on where in a group of three it starts; the
      // letters at its ends depend on the neighbours and are left out.
      for (const shift of [0, 1, 2]) {
        const padded = Buffer.concat([Buffer.alloc(shift), piece]).toString('base64');
        const from = shift === 0 ? 0 : shift + 1;
        this.#needles.base64.set(padded.slice(from, from + BASE64_PIECE), name);
      }
    }
  }

  /** A text such as a handle or a token; any 16 characters of it in a row. */
  addText(name: string, text: string): void {
    for (let at = 0; at + TEXT_PIECE <= text.length; at++) {
      this.#needles.text.set(text.slice(at, at + TEXT_PIECE), name);
    }
  }

  /** What of the secrets is in the text: `name as form`, each once. */
  in(text: string): string[] {
    const found = new Set<string>();
    const search = (form: Form, within: string, length: number): void => {
      const needles = this.#needles[form];
      if (needles.size === 0) return;
      for (let at = 0; at + length <= within.length; at++) {
        const name = needles.get(within.slice(at, at + length));
        if (name !== undefined) found.add(`${name} as ${form}`);
      }
    };
    // What JSON escapes, and how hex and base64 for URLs are written, makes no difference.
    search('raw', unescaped(text), PIECE);
    search('hex', text.toLowerCase().replaceAll(/[\s:]/g, ''), 2 * PIECE);
    search('base64', text.replaceAll('-', '+').replaceAll('_', '/'), BASE64_PIECE);
    search('text', text, TEXT_PIECE);
    for (const [list] of text.replaceAll(/\s/g, '').matchAll(/[0-9]+(?:,[0-9]+){7,}/g)) {
      const numbers = list.split(',');
      for (let at = 0; at + PIECE <= numbers.length; at++) {
        const name = this.#needles.numbers.get(numbers.slice(at, at + PIECE).join());
        if (name !== undefined) found.add(`${name} as numbers`);
      }
    }
    return [...found];
  }
}

/** With the escapes of JSON undone, and UTF-8 read as bytes as well. */
function unescaped(text: string): string {
  const plain = text
    .replaceAll(/\\u([0-9a-f]{4})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll(/\\([btnfr"\\/])/g, (_, letter: string) => ESCAPES[letter] ?? letter);
  return `${plain}\n${Buffer.from(text).toString('latin1')}`;
}

/** Letters that depend on 8 bytes alone, wherever they start. */
const BASE64_PIECE = 9;
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ b: '\b', t: '\t', n: '\n', f: '\f', r: '\r' },
};
