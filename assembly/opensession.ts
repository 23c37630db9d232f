/** Opening of a session after a successful verify: copies what outlives the ticket's plaintext. */

import {
  HOST_NOW,
  HOST_RELEASE,
  INFO_CAPS_DECODED,
  RECORD_SERVICE,
  SESSION_ENTITY_LEN_MAX,
  SESSION_SECRET_LEN_MAX,
  TICKET_CAPS_LEN_MAX,
  VERDICT_INFO,
  VERIFY_PEER,
  VERIFY_PEER_FAMILY,
} from './abi';
import { HOST } from './arena';
import { cachedTicket, declaredSecretId } from './authorizer';
import { copySmall } from './bytes';
import { capsFind, capsHandle, capsIntern, capsRetain, capsService } from './capstore';
import {
  infoCaps,
  infoCreated,
  infoEntity,
  infoEntityLen,
  infoEntityType,
  infoExpires,
  infoGlobalId,
  infoKeyType,
  infoSecret,
  infoSecretLen,
} from './protocol';
import { revocationEpoch } from './revocations';
import {
  SESSION_CAPS,
  SESSION_CREATED,
  SESSION_ENTITY,
  SESSION_ENTITY_LEN,
  SESSION_ENTITY_TYPE,
  SESSION_EPOCH,
  SESSION_EXPIRES,
  SESSION_GLOBAL_ID,
  SESSION_INFO,
  SESSION_KEY,
  SESSION_KEY_LEN,
  SESSION_KEY_TYPE,
  SESSION_OPENED,
  SESSION_PEER,
  SESSION_PEER_FAMILY,
  SESSION_SECRET_ID,
  SESSION_SERVICE,
  sessionHandle,
  sessionOpen,
} from './sessions';
import { TICKET_CAPS } from './tickets';

/** A session of the ticket in `info`; returns its handle, or 0 when a limit forbids it. */
export function openSession(record: usize, verdict: usize): u64 {
  if (infoEntityLen > SESSION_ENTITY_LEN_MAX || infoSecretLen > SESSION_SECRET_LEN_MAX) return 0;
  const service = load<u32>(record + RECORD_SERVICE);
  const info = load<u32>(verdict + VERDICT_INFO);
  let caps = -1;
  if (capsService(service) && info & INFO_CAPS_DECODED) {
    const len = load<i32>(infoCaps);
    if (len > TICKET_CAPS_LEN_MAX) return 0;
    // Compiled on the first check: an unparsable text still has an entity.
    caps = capsOf(service, infoCaps + 4, len);
    if (caps < 0) return 0;
  }
  const slot = sessionOpen();
  if (caps >= 0) capsRetain(caps);
  store<u32>(slot + SESSION_CAPS, caps + 1);
  store<u32>(slot + SESSION_SERVICE, service);
  store<u64>(slot + SESSION_GLOBAL_ID, infoGlobalId);
  store<u64>(slot + SESSION_CREATED, infoCreated);
  store<u64>(slot + SESSION_EXPIRES, infoExpires);
  store<u64>(slot + SESSION_OPENED, load<u64>(HOST + HOST_NOW));
  store<u64>(slot + SESSION_SECRET_ID, declaredSecretId);
  store<u32>(slot + SESSION_INFO, info);
  store<u32>(slot + SESSION_PEER_FAMILY, load<u32>(record + VERIFY_PEER_FAMILY));
  copySmall(slot + SESSION_PEER, record + VERIFY_PEER, 16);
  store<u32>(slot + SESSION_KEY_TYPE, infoKeyType);
  store<i32>(slot + SESSION_KEY_LEN, infoSecretLen);
  copySmall(slot + SESSION_KEY, infoSecret, infoSecretLen);
  store<u32>(slot + SESSION_ENTITY_TYPE, infoEntityType);
  store<i32>(slot + SESSION_ENTITY_LEN, infoEntityLen);
  copySmall(slot + SESSION_ENTITY, infoEntity, infoEntityLen);
  store<u32>(slot + SESSION_EPOCH, revocationEpoch);
  return sessionHandle(slot);
}

/** The slot of a caps text, or -1. A cached ticket keeps its handle, which may be stale. */
function capsOf(service: u32, text: usize, len: i32): i32 {
  if (cachedTicket != 0) {
    const known = capsFind(load<u64>(cachedTicket + TICKET_CAPS), service);
    if (known >= 0) return known;
  }
  const caps = capsIntern(service, load<u32>(HOST + HOST_RELEASE), text, len);
  if (cachedTicket != 0 && caps >= 0) store<u64>(cachedTicket + TICKET_CAPS, capsHandle(caps));
  return caps;
}
