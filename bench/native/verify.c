/* Frames, envelope, ticket, plausibility, challenge, expiry, caps: the steps of the engine under
 * policy pr71231-order with expiry enforced. */
#include "native.h"
#include <openssl/crypto.h>
#include <string.h>

static uint32_t u16(const uint8_t *at) { return at[0] | (uint32_t)at[1] << 8; }
static uint32_t u32(const uint8_t *at) { return u16(at) | u16(at + 2) << 16; }
static uint64_t u64(const uint8_t *at) { return u32(at) | (uint64_t)u32(at + 4) << 32; }

enum { AUTHORIZER_MAX = 72 * 1024, SECRET_MAX = 128, SLOP = 300 };
static const uint64_t MAGIC = 0xff009cad8826aa55u;

/* CephXAuthorizer: u8 version, u64 global_id, u32 service, u8, u64 secret id, u32 blob, u32 sealed. */
struct frame { struct text blob, sealed; };

static enum reason decode_frame(struct text bytes, struct frame *frame) {
  if (bytes.len > AUTHORIZER_MAX) return LIMIT;
  if (bytes.len == 0) return MALFORMED;
  if (bytes.at[0] < 1 || bytes.at[0] > 9) return MODE;
  if (bytes.len < 30) return MALFORMED;
  uint64_t end = 26 + (uint64_t)u32(bytes.at + 22);
  if (end + 4 > bytes.len) return MALFORMED;
  uint64_t sealed = u32(bytes.at + end);
  if (end + 4 + sealed > bytes.len) return MALFORMED;
  frame->blob = (struct text){bytes.at + 26, (size_t)end - 26};
  frame->sealed = (struct text){bytes.at + end + 4, (size_t)sealed};
  return OK;
}

/* CephXServiceTicketInfo behind its envelope. */
struct ticket {
  const uint8_t *global_id, *auid, *created, *expires, *allow_all, *caps, *key_created;
  uint64_t caps_len;
  int key_type;
  struct text key;
};

static int decode_ticket(struct text plain, struct ticket *ticket) {
  const uint8_t *at = plain.at;
  if (plain.len < 19 || u64(at + 1) != MAGIC) return 0;
  int has_auid = at[10] >= 2;
  uint64_t global_id = 19 + (uint64_t)u32(at + 15);
  uint64_t created = global_id + (has_auid ? 16 : 8), caps = created + 22;
  if (caps > plain.len) return 0;
  uint64_t caps_len = u32(at + caps - 4), key = caps + caps_len + 4, secret = key + 12;
  if (secret > plain.len) return 0;
  uint32_t secret_len = u16(at + secret - 2), type = u16(at + key);
  if (secret + secret_len > plain.len) return 0;
  if (type != AES && type != AES256K) return 0;
  if (secret_len < (type == AES ? 16u : 32u) || secret_len > SECRET_MAX) return 0;
  *ticket = (struct ticket){at + global_id, has_auid ? at + global_id + 8 : NULL, at + created,
                            at + created + 8, at + created + 17, at + caps, at + key + 2,
                            caps_len, (int)type, {at + secret, secret_len}};
  return 1;
}

/* utime at `a` plus `slop` seconds < utime at `b` */
static int before(const uint8_t *a, const uint8_t *b, int64_t slop) {
  int64_t seconds = (int64_t)u32(a) + slop - (int64_t)u32(b);
  int64_t nanoseconds = (int64_t)u32(a + 4) - (int64_t)u32(b + 4);
  return seconds * 1000000000 + nanoseconds < 0;
}
static int later(const uint8_t *at, int64_t seconds) {
  return ((int64_t)u32(at) - seconds) * 1000000000 + (int64_t)u32(at + 4) > 0;
}

/* What an altered ticket that is sealed with aes hardly gets right. */
static int plausible(const struct ticket *t) {
  if (t->auid != NULL && u64(t->auid) != UINT64_MAX) return 0;
  if (*t->allow_all != 0) return 0;
  if (t->caps_len != 0 && (t->caps_len < 4 || u32(t->caps) != t->caps_len - 4)) return 0;
  const uint8_t *times[] = {t->created, t->expires, t->key_created};
  for (int i = 0; i < 3; i++)
    if (u32(times[i] + 4) > 1000000000) return 0;
  return !before(t->expires, t->created, 0) && !before(t->key_created, t->created, SLOP) &&
         !before(t->created, t->key_created, SLOP);
}

/* CephXAuthorize: what a client answers to its challenge. */
static enum reason judge_authorize(struct text plain, uint64_t challenge) {
  const uint8_t *at = plain.at;
  if (plain.len < 18 || u64(at + 1) != MAGIC) return INVALID;
  if (at[9] < 2) return CHALLENGE_MISMATCH;
  if (plain.len < 27) return INVALID;
  return at[18] != 0 && u64(at + 19) == challenge + 1 ? OK : CHALLENGE_MISMATCH;
}

/* Ceph strips min(last byte, 16) bytes and compares none of the others. */
static struct text strip(int type, const uint8_t *at, long len) {
  if (type != AES || len == 0) return (struct text){at, (size_t)len};
  uint8_t last = at[len - 1];
  return (struct text){at, (size_t)len - (last > BLOCK ? BLOCK : last)};
}

static enum reason judge_caps(const struct ticket *t, const struct item *item) {
  if (*t->allow_all != 0) return OK;
  if (t->caps_len < 4 || u32(t->caps) > t->caps_len - 4) return CAPS_NONE;
  return caps_decide((struct text){t->caps + 4, u32(t->caps)}, &item->op, item->peer);
}

static enum reason judge_ticket(const struct style *style, const struct ring *ring,
                                const struct item *item, const struct frame *frame,
                                struct text plain, int sealed_by) {
  static uint8_t part[OPENED_MAX];
  struct ticket t;
  if (!decode_ticket(plain, &t)) return INVALID;
  if (u64(t.global_id) != u64(item->authorizer.at + 1)) return INVALID;
  long len = style->authorize(t.key_type, t.key, frame->sealed, part);
  if (len < 0) return INVALID;
  enum reason reason = judge_authorize(strip(t.key_type, part, len), item->challenge);
  OPENSSL_cleanse(part, (size_t)len);
  if (reason == INVALID) return reason;
  if (sealed_by == AES && !plausible(&t)) return IMPLAUSIBLE;
  if (reason != OK) return reason;
  if (!later(t.expires, ring->now - ring->skew)) return EXPIRED;
  if (later(t.created, ring->now + ring->skew)) return NOT_YET_VALID;
  return judge_caps(&t, item);
}

enum reason verify(const struct style *style, const struct ring *ring, const struct item *item) {
  static uint8_t opened[OPENED_MAX];
  struct frame frame;
  enum reason reason = decode_frame(item->authorizer, &frame);
  if (reason != OK) return reason;
  if (u32(item->authorizer.at + 9) != ring->service) return SERVICE;
  uint64_t id = u64(item->authorizer.at + 14);
  const struct secret *secret = NULL;
  for (size_t i = 0; i < ring->count && secret == NULL; i++)
    if (ring->secrets[i].id == id) secret = &ring->secrets[i];
  if (secret == NULL) return SECRET_UNKNOWN;
  long len = style->ticket(secret, frame.blob, opened);
  if (len < 0) return INVALID;
  struct text plain = strip(secret->type, opened, len);
  reason = judge_ticket(style, ring, item, &frame, plain, secret->type);
  OPENSSL_cleanse(opened, (size_t)len);
  return reason;
}
