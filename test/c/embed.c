/* The core inside a C program, without an engine: one authorizer, one operation.
 *   wasm2c -n core core.plain.wasm -o core.c
 *   cc -O2 -o embed embed.c core.c -lwasm-rt-impl -lm    (cephgate.h lies beside core.plain.wasm)
 *   embed SECRET_HEX AUTHORIZER_HEX POOL OBJECT          the secret: a CryptoKey, secret id 2 */
#include <stdio.h>
#include <time.h>
#include "cephgate.h"
#include "core.h"

static Z_core_instance_t core;
/* A block, by its word in the layout table. Memory does not move after init. */
static uint8_t *block(uint32_t name) {
  uint8_t *memory = Z_coreZ_memory(&core)->data;
  return memory + cephgate_get32(memory + Z_coreZ_layout(&core) + name);
}
static uint32_t from_hex(uint8_t *to, uint32_t size, const char *hex) {
  uint32_t n = 0;
  for (unsigned byte; n < size && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++) to[n] = (uint8_t)byte;
  return n;
}

int main(int argc, char **argv) {
  static uint8_t bytes[CEPHGATE_AUTHORIZER_LEN_MAX];
  const uint32_t osd = CEPHGATE_ENTITY_TYPE_OSD, flags = CEPHGATE_FLAG_TAIL | CEPHGATE_FLAG_KEEP;
  if (argc != 5 || strlen(argv[3]) + strlen(argv[4]) > 4096) return 2;
  wasm_rt_init(), Z_core_init_module(), Z_core_instantiate(&core);
  if (Z_coreZ_abi_version(&core) != CEPHGATE_ABI_VERSION) return 3;
  if (Z_coreZ_init(&core, CEPHGATE_PRESET_SMALL) != 1) return 3;
  uint8_t *work = block(CEPHGATE_LAYOUT_WORK), *host = block(CEPHGATE_LAYOUT_HOST);
  uint32_t length = from_hex(work + CEPHGATE_WORK_KEY, CEPHGATE_WORK_KEY_LEN, argv[1]);
  cephgate_put32(work + CEPHGATE_PUT_SERVICE, osd);
  cephgate_put64(work + CEPHGATE_PUT_SECRET_ID, 2);
  if (Z_coreZ_secret_put(&core, length) != CEPHGATE_CHECK_OK) return 3;
  cephgate_put64(host + CEPHGATE_HOST_NOW, (uint64_t)time(NULL) * 1000000000u);
  cephgate_put64(host + CEPHGATE_HOST_SKEW, 300000000000u); /* 300 s */
  cephgate_put32(host + CEPHGATE_HOST_PLAUSIBILITY, CEPHGATE_PLAUSIBILITY_ORDER);
  cephgate_put32(host + CEPHGATE_HOST_ALLOWED_TYPES, 6); /* aes and aes256k */
  cephgate_put32(host + CEPHGATE_HOST_CHALLENGE_MODE, CEPHGATE_CHALLENGE_OFF);
  cephgate_put32(host + CEPHGATE_HOST_RELEASE, 20);
  cephgate_put32(host + CEPHGATE_HOST_FLAGS, flags);
  /* Two records: who is it, and may they? The check is of the session that the verify opens. */
  uint8_t *verify = block(CEPHGATE_LAYOUT_REQUEST);
  cephgate_begin(verify, CEPHGATE_KIND_VERIFY, flags, osd, CEPHGATE_VERIFY_LEN);
  length = from_hex(bytes, sizeof bytes, argv[2]);
  cephgate_part(verify, CEPHGATE_VERIFY_AUTHORIZER, bytes, length);
  uint8_t *check = verify + cephgate_get32(verify + CEPHGATE_RECORD_BYTES);
  cephgate_begin(check, CEPHGATE_KIND_CHECK, 0, osd, CEPHGATE_OSD_LEN);
  memset(check + CEPHGATE_RECORD_HANDLE, 0xff, 8);
  cephgate_put32(check + CEPHGATE_OSD_BITS, CEPHGATE_OSD_READ);
  cephgate_part(check, CEPHGATE_OSD_POOL, argv[3], (uint32_t)strlen(argv[3]));
  cephgate_part(check, CEPHGATE_OSD_OBJECT, argv[4], (uint32_t)strlen(argv[4]));
  Z_coreZ_run(&core, (uint32_t)(check - verify) + cephgate_get32(check + CEPHGATE_RECORD_BYTES));
  const uint8_t *who = block(CEPHGATE_LAYOUT_RESPONSE), *tail = who + CEPHGATE_TAIL_ENTITY;
  if (!who[CEPHGATE_VERDICT_DECISION])
    return printf("refused, reason %u\n", cephgate_get16(who + CEPHGATE_VERDICT_REASON)), 1;
  const uint8_t *may = who + cephgate_get32(who + CEPHGATE_VERDICT_BYTES);
  printf("%.*s ", (int)cephgate_get32(tail + 4), (const char *)who + cephgate_get32(tail));
  printf("%s\n", may[CEPHGATE_VERDICT_DECISION] ? "may" : "may not");
  return !may[CEPHGATE_VERDICT_DECISION];
}
