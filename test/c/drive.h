/* What drive.c asks of a host of the core: start it, call its exports, reach its memory. */
#ifndef CEPHGATE_DRIVE_H
#define CEPHGATE_DRIVE_H

#include <stdint.h>

/* In the order of the README's table. */
enum { ABI_VERSION, INIT, LAYOUT, RUN, SECRET_PUT, SECRET_REMOVE, SECRET_CLEAR, SECRET_COUNT,
       SESSION_RELEASE, REVOKE, CACHE_CLEAR, CAPS_VIEW, SEAL, OPEN, DERIVE, CHALLENGE_HASH,
       PRIMITIVE, WORK_WIPE, EXPORTS };

/* Starts the core; `file` is the .wasm file for hosts that load one. */
void host_start(const char *file);
/* An export's result, 0 for one that gives none. */
uint32_t host_call(uint32_t export, const uint32_t args[4]);
/* Copies out of and into the core's memory. */
void host_read(uint8_t *to, uint32_t address, uint32_t length);
void host_write(uint32_t address, const uint8_t *from, uint32_t length);

/* Ends the program with a message. */
void fail(const char *what);

#endif
