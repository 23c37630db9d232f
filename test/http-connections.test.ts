/** What one HTTP connection may take from the others: pipelines and bodies that nobody wants. */

import { createServer, IncomingMessage, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { inTurn } from '../src/http/connections.ts';
import { RawHttp } from './raw-http.ts';

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const http = new RawHttp();
afterEach(() => http.close());

const serve = (listener: Listener): Promise<number> => http.listen(createServer(inTurn(listener)));
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

// Deno.serve has its own ways; Node and Bun share these.
describe.skipIf('Deno' in globalThis)('requests of one connection', () => {
  it('run one after the other, in order', async () => {
    let running = 0;
    let most = 0;
    const port = await serve((request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end(`<${request.url}>`);
      }, 1);
    });
    const raw = await http.open(port);
    const paths = Array.from({ length: 100 }, (_, n) => `/${n}`);
    raw.socket.write(paths.map(get).join(''));
    const answers = (): string[] =>
      [...raw.text.matchAll(/<(\/[0-9]+)>/g)].map(([, path]) => path!);
    await expect.poll(() => answers().length).toBe(100);
    expect(answers()).toEqual(paths);
    expect(most).toBe(1);
  });

  it('are not heard any more when there are too many, while others are', async () => {
    let count = 0;
    const port = await serve((_, response) => {
      count += 1;
      response.end('x'.repeat(200_000));
    });
    const raw = await http.open(port);
    raw.socket.pause();
    const many = get('/').repeat(100);
    for (let n = 0; n < 100; n++) raw.socket.write(many);
    const other = await http.open(port);
    other.socket.write(get('/'));
    await expect.poll(() => other.text.length).toBeGreaterThan(200_000);
    // What the kernel takes of the answers is answered; the rest of ten thousand is not.
    expect(count).toBeLessThan(200);
    const told = vi.spyOn(IncomingMessage.prototype, 'destroy');
    raw.socket.resume();
    await raw.closed;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(count).toBeLessThan(200);
    // Telling hundreds that nobody has heard of that they end would keep the others waiting.
    expect(told.mock.calls.length).toBeLessThan(20);
    told.mockRestore();
  }, 60_000);
});

describe.skipIf('Deno' in globalThis)('a body that nobody wants', () => {
  const refuse: Listener = (_, response) => {
    response.writeHead(413).end('too much');
  };
  const head = (length: number): string =>
    `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n`;

  it('is read, if it is short, and the connection lives on', async () => {
    const port = await serve(refuse);
    const raw = await http.open(port);
    for (let n = 1; n <= 3; n++) {
      raw.socket.write(head(500_000) + 'x'.repeat(500_000));
      await expect.poll(() => raw.text.split('too much').length - 1).toBe(n);
    }
    expect(raw.socket.closed).toBe(false);
  });

  it('is not read to its end, if it is long; the answer can be read all the same', async () => {
    const port = await serve(refuse);
    const raw = await http.open(port);
    raw.socket.write(head(2 ** 30));
    const chunk = Buffer.alloc(65_536, 'x');
    const more = (): void => {
      while (!raw.socket.destroyed && raw.socket.write(chunk));
    };
    raw.socket.on('drain', more);
    more();
    await raw.closed;
    expect(raw.text).toContain('too much');
    // What is read, and what the buffers of both kernels hold.
    expect(raw.socket.bytesWritten).toBeLessThan(50_000_000);
  }, 60_000);

  it('that never comes does not keep the connection', async () => {
    const port = await serve(refuse);
    const raw = await http.open(port);
    raw.socket.write(head(1000));
    await raw.closed;
    expect(raw.text).toContain('too much');
  }, 60_000);
});
