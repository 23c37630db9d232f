/* The core as C: core.plain.wasm through wasm2c, without an engine. */
#include "core.h"

#include <string.h>

#include "drive.h"

static Z_core_instance_t core;

void host_start(const char *file) {
  (void)file;
  wasm_rt_init();
  Z_core_init_module();
  Z_core_instantiate(&core);
}

void host_read(uint8_t *to, uint32_t address, uint32_t length) {
  memcpy(to, Z_coreZ_memory(&core)->data + address, length);
}

void host_write(uint32_t address, const uint8_t *from, uint32_t length) {
  memcpy(Z_coreZ_memory(&core)->data + address, from, length);
}

uint32_t host_call(uint32_t export, const uint32_t args[4]) {
  const uint32_t a = args[0], b = args[1], c = args[2], d = args[3];
  switch (export) {
    case ABI_VERSION: return Z_coreZ_abi_version(&core);
    case INIT: return Z_coreZ_init(&core, a);
    case LAYOUT: return Z_coreZ_layout(&core);
    case RUN: return Z_coreZ_run(&core, a);
    case SECRET_PUT: return Z_coreZ_secret_put(&core, a);
    case SECRET_REMOVE: return Z_coreZ_secret_remove(&core, a, b, c);
    case SECRET_CLEAR: return Z_coreZ_secret_clear(&core, a), 0;
    case SECRET_COUNT: return Z_coreZ_secret_count(&core, a);
    case SESSION_RELEASE: return Z_coreZ_session_release(&core, a, b);
    case REVOKE: return Z_coreZ_revoke(&core, a);
    case CACHE_CLEAR: return Z_coreZ_cache_clear(&core), 0;
    case CAPS_VIEW: return Z_coreZ_caps_view(&core, a, b, c);
    case SEAL: return Z_coreZ_seal(&core, a, b, c, d);
    case OPEN: return Z_coreZ_open(&core, a, b, c, d);
    case DERIVE: return Z_coreZ_derive(&core, a, b, c);
    case CHALLENGE_HASH: return Z_coreZ_challenge_hash(&core, a);
    case PRIMITIVE: return Z_coreZ_primitive(&core, a, b, c);
    case WORK_WIPE: return Z_coreZ_work_wipe(&core), 0;
    default: fail("an unknown export");
  }
  return 0;
}
