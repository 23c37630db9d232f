/**
 * What the service sends back (CephXAuthorizeReply, CephXAuthorizeChallenge; spec section 9) and
 * the secret block, the only way for keys to leave the core.
 *
 *   CephXAuthorizeChallenge: u8 1 · u64 server_challenge                     usage 0x11, plain
 *   CephXAuthorizeReply v1:  u8 1 · u64 nonce_plus_one                       usage 0x12, prefixed
 *   CephXAuthorizeReply v2:  u8 2 · u64 nonce_plus_one · string connection_secret
 */

import {
  CONNECTION_SECRET_LEN,
  HOST_RANDOM_AVAILABLE,
  INFO_SECRETS,
  SECRET_COUNT,
  SECRET_ENTRY_BYTES,
  SECRET_ENTRY_CONNECTION_LEN,
  SECRET_ENTRY_DATA,
  SECRET_ENTRY_KEY_LEN,
  SECRET_ENTRY_NONCE,
  SECRET_ENTRY_RECORD,
  SECRET_FIRST,
  SECRET_USED,
  TAIL_REPLY,
  USAGE_AUTHORIZE_CHALLENGE,
  USAGE_AUTHORIZE_REPLY,
  VERDICT_INFO,
} from './abi';
import { HOST, random, randomLen, secretBlock, secretBlockLen } from './arena';
import { wipe } from './bytes';
import { CRYPTOKEY_HEADER_LEN, keySeal, putEnvelope } from './cryptokey';
import { authorizeNonce, infoKey, infoKeyType, infoSecret, infoSecretLen } from './protocol';
import { tailAt, tailPart, verdict } from './verdict';

/** Envelope 9 + v2 reply 1 + 8 + 4 + 64, rounded up. */
const OBJECT: usize = memory.data(96, 16);
const OBJECT_LEN: i32 = 96;
const CONFOUNDER_LEN: i32 = 16;

/** The connection secret of the last reply, until the secret block took it. */
const CONNECTION_SECRET: usize = memory.data(64, 16);

/**
 * Seals a challenge (`isChallenge`) or a reply to the last authorize under the session key into the
 * tail. Returns 1, or 0 when the random pool is dry.
 */
export function buildReply(challenge: u64, isChallenge: i32, secure: i32): i32 {
  let n = putEnvelope(OBJECT);
  store<u8>(OBJECT + n, secure ? 2 : 1);
  store<u64>(OBJECT + n + 1, isChallenge ? challenge : authorizeNonce + 1);
  n += 9;
  if (secure) {
    const fresh = takeRandom(CONNECTION_SECRET_LEN);
    if (fresh == 0) return 0;
    memory.copy(CONNECTION_SECRET, fresh, CONNECTION_SECRET_LEN);
    wipe(fresh, CONNECTION_SECRET_LEN);
    store<u32>(OBJECT + n, CONNECTION_SECRET_LEN);
    memory.copy(OBJECT + n + 4, CONNECTION_SECRET, CONNECTION_SECRET_LEN);
    n += 4 + CONNECTION_SECRET_LEN;
  }
  const confounder = takeRandom(CONFOUNDER_LEN);
  if (confounder == 0) return 0;
  const usage = isChallenge ? USAGE_AUTHORIZE_CHALLENGE : USAGE_AUTHORIZE_REPLY;
  const prefix = isChallenge ? 0 : 4;
  const at = tailAt() + prefix;
  const sealed = keySeal(infoKeyType, infoSecret, infoSecretLen, usage, confounder, OBJECT, n, at);
  if (prefix) store<u32>(tailAt(), sealed);
  tailPart(TAIL_REPLY, prefix + sealed);
  wipe(OBJECT, OBJECT_LEN);
  return 1;
}

/** n bytes of the random pool, used once; 0 when there are not so many left. */
export function takeRandom(n: i32): usize {
  const available = load<i32>(HOST + HOST_RANDOM_AVAILABLE);
  if (available < n || available > randomLen) return 0;
  store<i32>(HOST + HOST_RANDOM_AVAILABLE, available - n);
  return random + available - n;
}

/** Writes an entry for record `index`. Returns 1, or 0 when the block is full. */
export function putSecrets(index: i32, withConnection: i32): i32 {
  const keyLen = CRYPTOKEY_HEADER_LEN + infoSecretLen;
  const connectionLen = withConnection ? CONNECTION_SECRET_LEN : 0;
  const bytes = (SECRET_ENTRY_DATA + keyLen + connectionLen + 7) & ~7;
  const used = max(load<i32>(secretBlock + SECRET_USED), SECRET_FIRST);
  if (used + bytes > secretBlockLen) return 0;
  const entry = secretBlock + used;
  store<i32>(entry + SECRET_ENTRY_BYTES, bytes);
  store<i32>(entry + SECRET_ENTRY_RECORD, index);
  store<u64>(entry + SECRET_ENTRY_NONCE, authorizeNonce);
  store<i32>(entry + SECRET_ENTRY_KEY_LEN, keyLen);
  store<i32>(entry + SECRET_ENTRY_CONNECTION_LEN, connectionLen);
  memory.copy(entry + SECRET_ENTRY_DATA, infoKey, keyLen);
  memory.copy(entry + SECRET_ENTRY_DATA + keyLen, CONNECTION_SECRET, connectionLen);
  store<i32>(secretBlock + SECRET_COUNT, load<i32>(secretBlock + SECRET_COUNT) + 1);
  store<i32>(secretBlock + SECRET_USED, used + bytes);
  store<u32>(verdict + VERDICT_INFO, load<u32>(verdict + VERDICT_INFO) | INFO_SECRETS);
  return 1;
}

/** Wipes the connection secret that a reply may have left. */
export function replyWipe(): void {
  wipe(CONNECTION_SECRET, CONNECTION_SECRET_LEN);
}

/** Wipes the secret block: at the start of every call. */
export function secretBlockWipe(): void {
  const used = load<i32>(secretBlock + SECRET_USED);
  wipe(secretBlock, used > 0 && used <= secretBlockLen ? used : SECRET_FIRST);
}
