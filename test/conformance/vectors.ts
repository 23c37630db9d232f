/**
 * The seeded vectors that every host must answer alike: authorizers of both key types, good and
 * bad, and for each of them what a daemon asks next; caps; batches; broken records; sealing.
 * What is asked never depends on an answer, but for handles, which are answers themselves.
 */

import * as abi from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode } from '../../src/cephx/denc.ts';
import type {
  Address,
  Challenge,
  Engine,
  HostContext,
  Policy,
  VerifyRequest,
} from '../../src/engine/index.ts';
import { engineRequest } from '../caps-engine.ts';
import { bytesOf, mdsRequest, mdsText, osdRequest, osdText } from '../caps-texts.ts';
import { makeInput, makePolicy, makeSecrets, REVOKED_ID } from '../fuzz/corpus.ts';
import type { Rng } from '../rng.ts';
import type { TwinSecret } from '../twin/verify.ts';
import type { Sink } from './sink.ts';
import { askCommon, askRaw } from './vectors-raw.ts';

const HOUR_NS = 3_600_000_000_000n;
const SCHEMES = ['msgr1-legacy', 'msgr1', 'msgr2-auth'] as const;

/** An authorizer and everything that it is judged by. */
interface Shown {
  readonly request: VerifyRequest;
  readonly host: HostContext;
}

/** Answers of an engine to `count` vectors; marks after the thousandth and after the last. */
export function runVectors(engine: Engine, rng: Rng, count: number, sink: Sink): void {
  const run = new Run(engine, rng, sink);
  for (let i = 1; i <= count; i++) {
    run.vector(i);
    if (i === 1000 || i === count) sink.mark(i);
  }
}

class Run {
  readonly #engine: Engine;
  readonly #rng: Rng;
  readonly #sink: Sink;
  readonly #secrets: readonly TwinSecret[];
  readonly #policies;
  readonly #ours: readonly Partial<Policy>[];
  readonly #recent: Shown[] = [];

  constructor(engine: Engine, rng: Rng, sink: Sink) {
    this.#engine = engine;
    this.#rng = rng;
    this.#sink = sink;
    this.#secrets = makeSecrets(rng);
    for (const each of this.#secrets) this.#put(each);
    engine.revoke('deny', { entity: { type: abi.ENTITY_TYPE_CLIENT, id: REVOKED_ID } });
    this.#policies = Array.from({ length: 20 }, () => makePolicy(rng));
    this.#ours = this.#policies.map(({ allowedTypes, ...rest }) => ({
      ...rest,
      allowedTypes: rng.chance(0.7) || allowedTypes === 'ring' ? 'ring' : ['aes256k'],
      release: rng.pick([16, 20] as const),
      sessionLifetime: rng.pick(['ticket', 'connection'] as const),
      sessionMaxAgeNs: rng.pick([0n, 0n, HOUR_NS]),
      msgr1Aes256k: rng.chance(0.5),
    }));
  }

  vector(i: number): void {
    const rng = this.#rng;
    const shown = this.#show();
    const verdict = this.#engine.verify(shown.request, shown.host);
    this.#sink.verdicts([verdict]);
    // At once, under the same policy: out of the ticket cache, if the ticket was good.
    if (rng.chance(0.2)) this.#sink.verdicts([this.#engine.verify(shown.request, shown.host)]);
    this.#ask(shown, verdict.handle);
    this.#sign(shown, verdict.handle);
    if (rng.chance(0.8)) this.#engine.sessionRelease(verdict.handle);
    this.#caps(shown.host);
    if (i % 16 === 0) this.#batch();
    if (i % 16 === 8) askRaw(this.#engine, rng, shown.request, shown.host, this.#sink);
    if (i % 8 === 4) askCommon(this.#engine, rng, this.#sink);
    if (i % 64 === 63) this.#change();
  }

  /** A fresh authorizer, or one in ten times one that was seen lately. */
  #show(): Shown {
    const rng = this.#rng;
    const again = rng.chance(0.1) ? this.#recent[rng.int(this.#recent.length)] : undefined;
    if (again !== undefined) return again;
    const input = makeInput(rng, this.#secrets, this.#policies);
    const policy = this.#ours[this.#policies.indexOf(input.policy)] as Partial<Policy>;
    const challenge: Challenge =
      input.challenge.mode === 'required' ? { ...input.challenge, value: 99n } : input.challenge;
    const request: VerifyRequest = {
      service: input.service,
      authorizer: input.bytes,
      challenge,
      reply: rng.chance(0.7),
      secure: rng.chance(0.5),
      session: rng.chance(0.9),
      secrets: rng.chance(0.5),
      unproven: rng.chance(0.3),
      tail: rng.chance(0.8),
      peer: rng.chance(0.8) ? peer(rng) : undefined,
    };
    const shown = { request, host: { nowNs: input.nowNs, policy } };
    // Those at the limit of length would fill every batch.
    if (input.bytes.length < 4096) this.#recent.push(shown);
    if (this.#recent.length > 8) this.#recent.shift();
    return shown;
  }

  /** Checks of a session, some of them later than it lives or from another peer. */
  #ask({ request, host }: Shown, handle: bigint): void {
    const rng = this.#rng;
    const { service } = request;
    for (let i = 1 + rng.int(2); i > 0; i--) {
      const asked = {
        ...engineRequest(service === abi.ENTITY_TYPE_MDS ? mdsRequest(rng) : osdRequest(rng)),
        service,
        handle: rng.chance(0.97) ? handle : rng.u64(),
        explain: rng.chance(0.5),
        tail: rng.chance(0.3),
        peer: rng.chance(0.8) ? request.peer : peer(rng),
      };
      const later = rng.chance(0.1) ? BigInt(rng.int(4)) * HOUR_NS : 0n;
      const verdict = this.#engine.check(asked, { ...host, nowNs: host.nowNs + later });
      this.#sink.verdicts([verdict]);
    }
  }

  #sign({ request, host }: Shown, handle: bigint): void {
    const rng = this.#rng;
    const { service } = request;
    const scheme = rng.pick(SCHEMES);
    const block = rng.bytes(scheme === 'msgr2-auth' ? rng.int(200) : rng.pick([32, 32, 32, 31]));
    const signed = this.#engine.sign(service, handle, scheme, block, host);
    const signature = signed.reply?.slice() ?? rng.bytes(8);
    if (rng.chance(0.3)) signature[0] = (signature[0] as number) ^ 1;
    const judged = this.#engine.signVerify(service, handle, scheme, block, signature, host);
    this.#sink.verdicts([signed]);
    this.#sink.verdicts([judged]);
  }

  /** A caps text and an operation against it. */
  #caps(host: HostContext): void {
    const rng = this.#rng;
    const mds = rng.chance(0.5);
    const service = mds ? abi.ENTITY_TYPE_MDS : abi.ENTITY_TYPE_OSD;
    const text = bytesOf(mds ? mdsText(rng) : osdText(rng));
    const keep = rng.chance(0.7);
    const parsed = this.#engine.capsParse(service, text, host, { keep });
    this.#sink.verdicts([parsed]);
    const explain = rng.chance(0.5);
    const request = engineRequest(mds ? mdsRequest(rng) : osdRequest(rng));
    const asked = { ...request, service, handle: parsed.handle, explain };
    this.#sink.verdicts([this.#engine.check(asked, host)]);
  }

  #batch(): void {
    const { host } = this.#recent[0] as Shown;
    const requests = this.#recent.map(({ request }) => ({ ...request, session: false }));
    this.#sink.verdicts(this.#engine.verifyBatch(requests, host));
    const rng = this.#rng;
    const checks = Array.from({ length: 1 + rng.int(5) }, () => ({
      ...engineRequest(osdRequest(rng)),
      service: abi.ENTITY_TYPE_OSD,
      handle: rng.u64(),
    }));
    this.#sink.verdicts(this.#engine.checkBatch(checks, host));
  }

  /** Secrets and revocations come and go. */
  #change(): void {
    const rng = this.#rng;
    const secret = rng.pick(this.#secrets);
    const { service, secretId } = secret;
    this.#engine.removeSecret(service, secretId);
    this.#put(secret);
    this.#engine.secretCount(service);
    const globalId = rng.u64();
    this.#engine.revoke('deny', { globalId });
    this.#engine.revoke('lift', { globalId });
    if (rng.chance(0.2)) this.#engine.cacheClear();
  }

  #put({ service, secretId, key, expiresNs }: TwinSecret): void {
    this.#engine.putSecret({ service, secretId, key: encode(CryptoKey.encode, key), expiresNs });
  }
}

function peer(rng: Rng): Address {
  if (rng.chance(0.2)) return { family: 6, bytes: rng.bytes(16) };
  return { family: 4, bytes: Uint8Array.of(10, 0, 0, rng.int(3)) };
}
