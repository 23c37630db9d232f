/* Opening what is sealed with aes (CBC, Ceph's constant IV) and aes256k (RFC 8009, CS3), by OpenSSL
 * in two styles. The padding of aes is the caller's, since Ceph compares none of it. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "native.h"
#include <openssl/aes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t CEPH_IV[BLOCK] = "cephsageyudagreg", ZERO_IV[BLOCK];

/* Input of the derivation: counter, usage, tag, zero byte, length in bits. */
static void derive_input(uint8_t in[14], uint8_t usage, uint8_t tag, uint16_t bits) {
  memset(in, 0, 14);
  in[3] = 1, in[7] = usage, in[8] = tag, in[12] = (uint8_t)(bits >> 8), in[13] = (uint8_t)bits;
}

static void derive_once(struct text key, uint8_t usage, uint8_t tag, uint16_t bits, uint8_t *out) {
  uint8_t in[14], hash[64];
  derive_input(in, usage, tag, bits);
  HMAC(EVP_sha384(), key.at, (int)key.len, in, sizeof in, hash, NULL);
  memcpy(out, hash, bits / 8);
  OPENSSL_cleanse(hash, sizeof hash);
}

/* Whether the lengths can be right; then how many bytes of ciphertext there are. */
static size_t sealed_len(struct text sealed) { return sealed.len < 40 ? 0 : sealed.len - MAC_LEN; }

/* CBC with ciphertext stealing. The context takes the block that must be decrypted first; what that
 * does to the chaining falls on the confounder, which is dropped. */
static long cts(EVP_CIPHER_CTX *ctx, const uint8_t *in, size_t len, uint8_t *out) {
  if (len <= BLOCK) return 0;
  size_t cut = BLOCK * ((len + BLOCK - 1) / BLOCK - 2), stolen = len - cut - BLOCK;
  static uint8_t restored[OPENED_MAX], whole[OPENED_MAX];
  uint8_t last[BLOCK];
  int n;
  if (EVP_DecryptUpdate(ctx, last, &n, in + cut, BLOCK) != 1) return -1;
  memcpy(restored, in, cut);
  memcpy(restored + cut, last, BLOCK);
  memcpy(restored + cut, in + cut + BLOCK, stolen);
  if (EVP_DecryptUpdate(ctx, whole, &n, restored, (int)(cut + BLOCK)) != 1) return -1;
  memcpy(out, whole + BLOCK, cut);
  for (size_t i = 0; i < stolen; i++) out[cut + i] = last[i] ^ in[cut + BLOCK + i];
  OPENSSL_cleanse(last, sizeof last);
  OPENSSL_cleanse(restored + cut, BLOCK);
  OPENSSL_cleanse(whole, cut + BLOCK);
  return (long)(cut + stolen);
}

static void keep_derived(struct secret *secret) {
  if (secret->type != AES256K) return;
  derive_once(secret->key, USAGE_TICKET_INFO, 0xaa, 256, secret->ke);
  derive_once(secret->key, USAGE_TICKET_INFO, 0x55, 192, secret->ki);
}

/* --- contexts made once ------------------------------------------------------------------------ */

struct kept { EVP_CIPHER_CTX *cipher; HMAC_CTX *mac; };
static struct kept session; /* given a new key each time */

/* Fetched once: EVP_sha384() would be looked up again whenever a key is put in. */
static const EVP_MD *sha384(void) {
  static EVP_MD *md;
  if (md == NULL && (md = EVP_MD_fetch(NULL, "SHA384", NULL)) == NULL) fail("no SHA-384");
  return md;
}

static struct kept *new_kept(const EVP_CIPHER *cipher, const uint8_t *key) {
  struct kept *kept = calloc(1, sizeof *kept);
  if (kept == NULL || (kept->cipher = EVP_CIPHER_CTX_new()) == NULL) fail("no memory");
  if ((kept->mac = HMAC_CTX_new()) == NULL) fail("no memory");
  if (EVP_DecryptInit_ex(kept->cipher, cipher, NULL, key, ZERO_IV) != 1) fail("no such cipher");
  EVP_CIPHER_CTX_set_padding(kept->cipher, 0);
  return kept;
}

static void keep_evp(struct secret *secret) {
  keep_derived(secret);
  int aes = secret->type == AES;
  struct kept *kept = new_kept(aes ? EVP_aes_128_cbc() : EVP_aes_256_cbc(),
                               aes ? secret->key.at : secret->ke);
  if (!aes) HMAC_Init_ex(kept->mac, secret->ki, MAC_LEN, sha384(), NULL);
  secret->kept = kept;
}

/* `iv` alone keeps the key that the context has. */
static long cbc_evp(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct text sealed, uint8_t *out) {
  int n;
  if (sealed.len == 0 || sealed.len % BLOCK != 0) return -1;
  if (EVP_DecryptInit_ex(ctx, NULL, NULL, key, CEPH_IV) != 1) return -1;
  if (EVP_DecryptUpdate(ctx, out, &n, sealed.at, (int)sealed.len) != 1) return -1;
  return n;
}

static int mac_evp(HMAC_CTX *mac, const uint8_t *in, size_t len, const uint8_t *expected) {
  uint8_t hash[64];
  unsigned n;
  HMAC_Update(mac, ZERO_IV, BLOCK);
  HMAC_Update(mac, in, len);
  HMAC_Final(mac, hash, &n);
  return CRYPTO_memcmp(hash, expected, MAC_LEN) == 0;
}

static long ticket_evp(const struct secret *secret, struct text sealed, uint8_t *out) {
  struct kept *kept = secret->kept;
  if (secret->type == AES) return cbc_evp(kept->cipher, NULL, sealed, out);
  size_t len = sealed_len(sealed);
  HMAC_Init_ex(kept->mac, NULL, 0, NULL, NULL);
  if (len == 0 || !mac_evp(kept->mac, sealed.at, len, sealed.at + len)) return -1;
  EVP_DecryptInit_ex(kept->cipher, NULL, NULL, NULL, ZERO_IV);
  return cts(kept->cipher, sealed.at, len, out);
}

static void derive_kept(uint8_t tag, uint16_t bits, uint8_t *out) {
  uint8_t in[14], hash[64];
  unsigned n;
  derive_input(in, USAGE_AUTHORIZE, tag, bits);
  HMAC_Update(session.mac, in, sizeof in);
  HMAC_Final(session.mac, hash, &n);
  memcpy(out, hash, bits / 8);
  OPENSSL_cleanse(hash, sizeof hash);
}

static long authorize_evp(int type, struct text key, struct text sealed, uint8_t *out) {
  static EVP_CIPHER_CTX *aes;
  if (session.mac == NULL) {
    static const uint8_t none[32];
    aes = new_kept(EVP_aes_128_cbc(), none)->cipher;
    session = *new_kept(EVP_aes_256_cbc(), none);
  }
  if (type == AES) return cbc_evp(aes, key.at, sealed, out);
  uint8_t ke[32], ki[MAC_LEN];
  long opened = -1;
  size_t len = sealed_len(sealed);
  if (len == 0) return -1;
  HMAC_Init_ex(session.mac, key.at, (int)key.len, sha384(), NULL);
  derive_kept(0x55, 192, ki);
  HMAC_Init_ex(session.mac, NULL, 0, NULL, NULL);
  derive_kept(0xaa, 256, ke);
  HMAC_Init_ex(session.mac, ki, MAC_LEN, sha384(), NULL);
  if (mac_evp(session.mac, sealed.at, len, sealed.at + len)) {
    EVP_DecryptInit_ex(session.cipher, NULL, NULL, ke, ZERO_IV);
    opened = cts(session.cipher, sealed.at, len, out);
  }
  OPENSSL_cleanse(ke, sizeof ke);
  OPENSSL_cleanse(ki, sizeof ki);
  return opened;
}

const struct style style_evp = {keep_evp, ticket_evp, authorize_evp};

/* --- as a daemon calls it ---------------------------------------------------------------------- */

static void keep_ceph(struct secret *secret) {
  keep_derived(secret);
  if (secret->type != AES) return;
  AES_KEY *key = malloc(sizeof *key);
  if (key == NULL || AES_set_decrypt_key(secret->key.at, 128, key) != 0) fail("no memory");
  secret->kept = key;
}

static long cbc_ceph(const AES_KEY *key, struct text sealed, uint8_t *out) {
  uint8_t iv[BLOCK];
  if (sealed.len == 0 || sealed.len % BLOCK != 0) return -1;
  memcpy(iv, CEPH_IV, BLOCK);
  AES_cbc_encrypt(sealed.at, out, sealed.len, key, iv, AES_DECRYPT);
  return (long)sealed.len;
}

/* The one-shot HMAC takes one piece: IV and ciphertext are put together. */
static long open_ceph(const uint8_t *ke, const uint8_t *ki, struct text sealed, uint8_t *out) {
  static uint8_t piece[BLOCK + OPENED_MAX];
  uint8_t hash[64];
  size_t len = sealed_len(sealed);
  if (len == 0) return -1;
  memcpy(piece + BLOCK, sealed.at, len);
  HMAC(EVP_sha384(), ki, MAC_LEN, piece, BLOCK + len, hash, NULL);
  if (CRYPTO_memcmp(hash, sealed.at + len, MAC_LEN) != 0) return -1;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  if (ctx == NULL) fail("no memory");
  EVP_DecryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, ke, ZERO_IV);
  EVP_CIPHER_CTX_set_padding(ctx, 0);
  long opened = cts(ctx, sealed.at, len, out);
  EVP_CIPHER_CTX_free(ctx);
  return opened;
}

static long ticket_ceph(const struct secret *secret, struct text sealed, uint8_t *out) {
  if (secret->type == AES) return cbc_ceph(secret->kept, sealed, out);
  return open_ceph(secret->ke, secret->ki, sealed, out);
}

/* Of a session key only the schedule for decryption is made. */
static long authorize_ceph(int type, struct text key, struct text sealed, uint8_t *out) {
  if (type == AES) {
    AES_KEY schedule;
    AES_set_decrypt_key(key.at, 128, &schedule);
    long opened = cbc_ceph(&schedule, sealed, out);
    OPENSSL_cleanse(&schedule, sizeof schedule);
    return opened;
  }
  uint8_t ke[32], ki[MAC_LEN];
  derive_once(key, USAGE_AUTHORIZE, 0x55, 192, ki);
  derive_once(key, USAGE_AUTHORIZE, 0xaa, 256, ke);
  long opened = open_ceph(ke, ki, sealed, out);
  OPENSSL_cleanse(ke, sizeof ke);
  OPENSSL_cleanse(ki, sizeof ki);
  return opened;
}

const struct style style_ceph = {keep_ceph, ticket_ceph, authorize_ceph};
