/** A TCP proxy in front of an etcd member that spoils what passes, as a bad network would. */

import { connect, createServer, type Server, type Socket } from 'node:net';

/** What happens to a connection from when it sends its next bytes on. */
export type Fault =
  | { readonly kind: 'pass' }
  /** Both ways, milliseconds. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The answer only, milliseconds. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** The request arrives, its answer does not. */
  | { readonly kind: 'cut' }
  /** The request arrives twice, on two connections; one answer comes back. */
  | { readonly kind: 'twice' }
  /** The request arrives when `release` is called, even if its sender has gone. */
  | { readonly kind: 'hold' }
  /** Nothing arrives and nothing is refused. */
  | { readonly kind: 'stall' };

export class EtcdProxy {
  /** Asked for each chunk of a request. */
  fault: (chunk: Uint8Array) => Fault = () => ({ kind: 'pass' });
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #held: (() => void)[] = [];

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((client) => this.#serve(client));
  }

  static async start(target: string): Promise<EtcdProxy> {
    const proxy = new EtcdProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  get held(): number {
    return this.#held.length;
  }

  release(): void {
    for (const send of this.#held.splice(0)) send();
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    let fault: Fault = { kind: 'pass' };
    const upstream = this.#connect();
    this.#track(client);
    client.on('data', (chunk) => {
      fault = this.fault(chunk);
      if (fault.kind === 'stall') return;
      if (fault.kind === 'hold') {
        this.#held.push(() => upstream.write(chunk));
        return;
      }
      if (fault.kind === 'twice') this.#connect().write(chunk);
      if (fault.kind === 'delay') setTimeout(() => upstream.write(chunk), fault.ms);
      else upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (fault.kind === 'cut') client.destroy();
      else if (fault.kind === 'delay' || fault.kind === 'slow') {
        setTimeout(() => client.write(chunk), fault.ms);
      } else client.write(chunk);
    });
    client.on('close', () => {
      if (this.#held.length === 0) setTimeout(() => upstream.destroy(), 200);
    });
    upstream.on('close', () => client.destroy());
  }

  #connect(): Socket {
    return this.#track(connect(Number(this.#target.port), this.#target.hostname));
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}
