/**
 * TLS of the TCP listeners: our certificate, the CA whose clients we take, and what the names in
 * their certificates may ask. All is read and checked before any of it is used.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { ConfigError, FileError } from '../errors.ts';
import { parseRights, type Right } from './callers.ts';
import { codeOf, readOwnFile, readPrivateFile } from './files.ts';

/** Names of the files. */
export interface TlsFiles {
  /** PEM: our certificate, then those between it and the CA. */
  readonly cert: string;
  /** PEM, mode 0600 or less. */
  readonly key: string;
  /** PEM: the CA of our clients; given: every client needs a certificate. */
  readonly clientCa?: string | undefined;
  /** Lines `RIGHT[,RIGHT] NAME`; needed with `clientCa`. */
  readonly clientRights?: string | undefined;
}

/** A line of the file of rights. */
export interface CertificateEntry {
  readonly name: string;
  readonly rights: ReadonlySet<Right>;
}

/** What the files held. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** Undefined: clients show no certificate. */
  readonly entries: readonly CertificateEntry[] | undefined;
}

/** What node:tls takes. */
interface TlsContext {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2';
  readonly ca?: string;
  readonly requestCert?: true;
  readonly rejectUnauthorized?: true;
}

/** Reads the files. Throws FileError, and ConfigError where the runtime cannot do what they ask. */
export function readTls(files: TlsFiles): TlsMaterial {
  const cert = readOwnFile(files.cert);
  const key = readPrivateFile(files.key);
  const { clientCa: caFile, clientRights } = files;
  if (caFile !== undefined && !canAskForCertificates()) {
    const state = 'this runtime cannot ask clients for certificates, Node can';
    throw new ConfigError('config.value', `cannot use "--tls-client-ca": ${state}`);
  }
  const clientCa = caFile === undefined ? undefined : readOwnFile(caFile);
  const entries =
    clientRights === undefined
      ? undefined
      : parseCertificateRights(readOwnFile(clientRights), clientRights);
  checkPair(cert, key, files);
  if (clientCa !== undefined) {
    attempt(caFile!, () => [new X509Certificate(clientCa), createSecureContext({ ca: clientCa })]);
  }
  return { cert, key, clientCa, entries };
}

/** The present TLS material: listeners take it from here, and hear when it is replaced. */
export class TlsSource {
  #material: TlsMaterial;
  readonly #listeners: (() => void)[] = [];
  /** Looking up a name goes through OpenSSL for each line of the file. */
  #found = new WeakMap<X509Certificate, { readonly entry: CertificateEntry | undefined }>();

  constructor(material: TlsMaterial) {
    this.#material = material;
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  get asksForCertificates(): boolean {
    return this.#material.clientCa !== undefined;
  }

  /** Whether listeners take another certificate, or keep theirs until they are opened anew. */
  get canChange(): boolean {
    return this.#listeners.length > 0;
  }

  /** Whether the certificate, its key or the CA would be another. */
  differs({ cert, key, clientCa }: TlsMaterial): boolean {
    const present = this.#material;
    return cert !== present.cert || key !== present.key || clientCa !== present.clientCa;
  }

  context(): TlsContext {
    const { cert, key, clientCa } = this.#material;
    const asked = { requestCert: true, rejectUnauthorized: true } as const;
    const own = { cert, key, minVersion: 'TLSv1.2' } as const;
    return clientCa === undefined ? own : { ...own, ca: clientCa, ...asked };
  }

  /** Calls back after each replace. */
  changed(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Connections that are open go on with their certificates, but with the new rights. */
  replace(material: TlsMaterial): void {
    this.#material = material;
    this.#found = new WeakMap();
    for (const listener of this.#listeners) listener();
  }

  /** The line of the file that names the certificate; undefined: none does. */
  entryOf(certificate: X509Certificate): CertificateEntry | undefined {
    const known = this.#found.get(certificate);
    if (known !== undefined) return known.entry;
    // By OpenSSL, not by reading the text of the names: that text can be made to lie.
    const named = (name: string): boolean => certificate.checkHost(name, EXACTLY) !== undefined;
    const entry = this.#material.entries?.find(({ name }) => named(name));
    this.#found.set(certificate, { entry });
    return entry;
  }
}

/** Reads lines `RIGHT[,RIGHT] NAME`. Throws FileError that names the line. */
export function parseCertificateRights(text: string, file: string): CertificateEntry[] {
  const entries: CertificateEntry[] = [];
  for (const { rights, word, wrong } of parseRights(text, file, 'NAME')) {
    const name = word.toLowerCase();
    if (!/^[a-z0-9_]([a-z0-9._-]{0,252}[a-z0-9_])?$/.test(name)) {
      throw wrong('the name is not like that of a host');
    }
    if (entries.some((entry) => entry.name === name)) throw wrong('a name is given twice');
    entries.push({ name, rights });
  }
  return entries;
}

function checkPair(cert: string, key: string, files: TlsFiles): void {
  const certificate = attempt(files.cert, () => new X509Certificate(cert));
  const privateKey = attempt(files.key, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    const why = `it is not the key of the certificate in "${files.cert}"`;
    throw new FileError('file.content', `cannot use "${files.key}": ${why}`);
  }
  attempt(files.cert, () => createSecureContext({ cert, key }));
}

/** The error of OpenSSL may quote what it read: only its code is told. */
function attempt<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new FileError(
      'file.content',
      `cannot use "${path}": not PEM as TLS needs it: ${codeOf(error)}`,
    );
  }
}

/** Deno.serve asks for none, and Bun does not hand them on. */
function canAskForCertificates(): boolean {
  return !('Deno' in globalThis) && !('Bun' in globalThis);
}

/** The common name counts only where there is no alternative name, as everywhere in TLS. */
const EXACTLY = { subject: 'default', wildcards: false } as const;
