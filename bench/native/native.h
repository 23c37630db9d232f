/* The work item in C, beside which the engine is measured: what a native service would do. */
#ifndef NATIVE_H
#define NATIVE_H
#include <stddef.h>
#include <stdint.h>

enum { AES = 1, AES256K = 2 }; /* CryptoKey types */
enum { USAGE_TICKET_INFO = 0x30, USAGE_AUTHORIZE = 0x10 };
enum { MAC_LEN = 24, BLOCK = 16, OPENED_MAX = 80 * 1024, SECRETS_MAX = 64, GRANTS_MAX = 64 };

/* REASON_* of assembly/abi.ts; the corpus names their numbers. */
enum reason {
  OK, MALFORMED, MODE, SERVICE, SECRET_UNKNOWN, INVALID, CHALLENGE_MISMATCH, LIMIT,
  IMPLAUSIBLE, EXPIRED, NOT_YET_VALID, CAPS_NONE, CAPS_UNPARSABLE, NO_GRANT, REASONS
};

struct text { const uint8_t *at; size_t len; };
struct op { struct text pool, ns, object; int read, write; };
struct item {
  struct text authorizer;
  uint64_t challenge;
  uint32_t expected; /* number of the reason */
  uint8_t peer[4];
  struct op op;
};
/* A service secret and what is kept of it; `kept` belongs to the style of sealing. */
struct secret { uint64_t id; int type; struct text key; uint8_t ke[32], ki[MAC_LEN]; void *kept; };
struct ring { struct secret secrets[SECRETS_MAX]; size_t count; uint32_t service; int64_t now, skew; };

/* One way to call the ciphers. Opened bytes go to `out`; -1 when they do not open. */
struct style {
  void (*keep)(struct secret *secret);
  long (*ticket)(const struct secret *secret, struct text sealed, uint8_t *out);
  long (*authorize)(int type, struct text key, struct text sealed, uint8_t *out);
};
extern const struct style style_evp;  /* OpenSSL's EVP, contexts made once */
extern const struct style style_ceph; /* AES_cbc_encrypt; a context per open and one-shot HMAC() */

enum reason verify(const struct style *style, const struct ring *ring, const struct item *item);
enum reason caps_decide(struct text caps, const struct op *op, const uint8_t peer[4]);
void fail(const char *why);
#endif
