/** HTTP by bytes, for tests of what one connection may do: a server, and raw connections to it. */

import { Buffer } from 'node:buffer';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface Raw {
  readonly socket: Socket;
  /** What has come, a character for each byte. */
  text: string;
  readonly closed: Promise<void>;
}

/** What the tests of a file have open. */
export class RawHttp {
  readonly #closing: (() => Promise<void>)[] = [];

  /** Ends all that was opened; for afterEach. */
  async close(): Promise<void> {
    await Promise.all(this.#closing.splice(0).map((close) => close()));
  }

  /** Opens the server on a port of loopback, which it returns. */
  async listen(server: Server): Promise<number> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#closing.push(
      () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    );
    return (server.address() as AddressInfo).port;
  }

  async open(port: number): Promise<Raw> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const raw: Raw = { socket, text: '', closed };
    socket.on('data', (bytes: Uint8Array) => {
      raw.text += Buffer.from(bytes).toString('latin1');
    });
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    this.#closing.push(async () => void socket.destroy());
    return raw;
  }
}
