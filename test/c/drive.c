/* Drives the core by its ABI alone, from a file of steps (test/conformance/recorder.ts), and
 * prints "COUNT HASH" lines. With a host behind drive.h:
 *   drive STEPS [CORE.WASM] */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cephgate.h"

enum { MAGIC = 0x70617463, WRITE = 1, CALL, RUN_STEP, TAKE, MARK };

/* --- SHA-256 (FIPS 180-4) ------------------------------------------------------------------- */

static uint32_t round_key[64], state[8];
static uint8_t block[64];
static uint64_t hashed;

/* First 32 bits of the fraction of the n-th root of p, by bisection over integers. */
__extension__ typedef unsigned __int128 wide;

static uint32_t fraction(uint64_t p, int cube) {
  uint64_t low = 0, high = (uint64_t)1 << 40;
  while (high - low > 1) {
    uint64_t mid = low + (high - low) / 2;
    wide power = (wide)mid * mid;
    if (cube ? power * mid > (wide)p << 96 : power > (wide)p << 64)
      high = mid;
    else
      low = mid;
  }
  return (uint32_t)low;
}

static void sha_begin(void) {
  uint32_t n = 0;
  for (uint64_t p = 2; n < 64; p++) {
    int prime = 1;
    for (uint64_t d = 2; d * d <= p; d++) prime &= p % d != 0;
    if (!prime) continue;
    if (n < 8) state[n] = fraction(p, 0);
    round_key[n++] = fraction(p, 1);
  }
}

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(void) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
           (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) +
           (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
  }
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t one = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25);
    uint32_t zero = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22);
    uint32_t first = v[7] + one + ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_key[i] + w[i];
    uint32_t second = zero + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += first, v[0] = first + second;
  }
  for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void sha_add(const uint8_t *bytes, size_t length) {
  for (; length > 0; length--) {
    block[hashed++ % 64] = *bytes++;
    if (hashed % 64 == 0) sha_block();
  }
}

/* Prints the hash so far; more can be added afterwards. */
static void sha_print(void) {
  uint32_t saved_state[8];
  uint8_t saved_block[64], end[72] = {0x80};
  uint64_t saved = hashed, bits = hashed * 8;
  memcpy(saved_state, state, sizeof state), memcpy(saved_block, block, sizeof block);
  size_t pad = 1 + (119 - hashed % 64) % 64;
  for (int i = 0; i < 8; i++) end[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
  sha_add(end, pad + 8);
  for (int i = 0; i < 8; i++) printf("%08x", state[i]);
  printf("\n"), fflush(stdout);
  memcpy(state, saved_state, sizeof state), memcpy(block, saved_block, sizeof block);
  hashed = saved;
}

/* --- steps ---------------------------------------------------------------------------------- */

static uint8_t *steps;
static size_t steps_len, at;

void fail(const char *what) { fprintf(stderr, "drive: %s\n", what), exit(1); }

static uint32_t next(void) {
  if (steps_len - at < 4) fail("the file of steps ends too early");
  at += 4;
  return cephgate_get32(steps + at - 4);
}

static void load(const char *name) {
  FILE *file = fopen(name, "rb");
  long size = 0;
  if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 4) fail("no file of steps");
  rewind(file);
  steps = malloc(steps_len = (size_t)size);
  if (!steps || fread(steps, 1, steps_len, file) != steps_len) fail("cannot read the steps");
  fclose(file);
  if (next() != MAGIC) fail("this is no file of steps");
}

static uint32_t word(uint32_t address) {
  uint8_t bytes[4];
  host_read(bytes, address, sizeof bytes);
  return cephgate_get32(bytes);
}

static uint32_t address_of(uint32_t name) {
  const uint32_t none[4] = {0};
  return word(host_call(LAYOUT, none) + name);
}

/* Hashes bytes of the core's memory. */
static void take(uint32_t address, uint32_t length) {
  uint8_t bytes[4096];
  while (length > 0) {
    uint32_t some = length < sizeof bytes ? length : (uint32_t)sizeof bytes;
    host_read(bytes, address, some);
    sha_add(bytes, some);
    address += some, length -= some;
  }
}

static void write_step(void) {
  uint32_t name = next(), offset = next(), length = next(), padded = (length + 3) & ~3u;
  if (padded > steps_len - at) fail("a write is longer than the file");
  host_write(address_of(name) + offset, steps + at, length);
  at += padded;
}

static void call_step(void) {
  uint32_t export = next(), args[4];
  for (int i = 0; i < 4; i++) args[i] = next();
  uint32_t result = host_call(export, args), expected = next();
  if (result == expected) return;
  fprintf(stderr, "drive: export %u gave %u, expected %u\n", export, result, expected);
  exit(1);
}

/* Verdicts, then nonce, key and connection secret of each entry of the secret block. */
static void run_step(void) {
  const uint32_t args[4] = {next()};
  uint32_t bytes = host_call(RUN, args);
  take(address_of(CEPHGATE_LAYOUT_RESPONSE), bytes);
  uint32_t secrets = address_of(CEPHGATE_LAYOUT_SECRET), entry = secrets + CEPHGATE_SECRET_FIRST;
  for (uint32_t n = word(secrets + CEPHGATE_SECRET_COUNT); n > 0; n--) {
    take(entry + CEPHGATE_SECRET_ENTRY_NONCE, 8);
    uint32_t key = word(entry + CEPHGATE_SECRET_ENTRY_KEY_LEN);
    uint32_t connection = word(entry + CEPHGATE_SECRET_ENTRY_CONNECTION_LEN);
    take(entry + CEPHGATE_SECRET_ENTRY_DATA, key + connection);
    entry += word(entry + CEPHGATE_SECRET_ENTRY_BYTES);
  }
}

static void take_step(void) {
  uint32_t from = address_of(next());
  from += next();
  take(from, next());
}

int main(int argc, char **argv) {
  if (argc < 2) fail("usage: drive STEPS [CORE.WASM]");
  sha_begin();
  load(argv[1]);
  host_start(argc > 2 ? argv[2] : "");
  while (at < steps_len) {
    switch (next()) {
      case WRITE: write_step(); break;
      case CALL: call_step(); break;
      case RUN_STEP: run_step(); break;
      case TAKE: take_step(); break;
      case MARK: printf("%u ", next()), sha_print(); break;
      default: fail("an unknown step");
    }
  }
  free(steps);
  return 0;
}
