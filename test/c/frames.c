/* A storage daemon's side of the frames socket, in C99 and POSIX sockets: verifies one client in
 * two steps and checks one operation. The layouts are in the README, "The ABI of the core".
 *   cc -std=c99 -o frames frames.c && ./frames SOCKET CONNECTION POOL OBJECT
 * The client's authorizers come in on stdin and go out on stdout, one line of hex each. */
#define _POSIX_C_SOURCE 200112L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { VERIFY = 1, CHECK = 2, TAIL = 1, REPLY = 2, KEEP = 8, OSD = 4, FRAME_MAX = 1 << 20 };

static uint8_t out[FRAME_MAX], in[4 * FRAME_MAX], line[FRAME_MAX];
static char token[512]; /* challenge state: kept per connection, never handed to the client */
static uint32_t token_len, tag;

static void put(uint32_t at, uint64_t value, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) out[at + i] = (uint8_t)(value >> 8 * i);
}
static uint64_t get(uint32_t at, uint32_t bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < bytes; i++) value |= (uint64_t)in[at + i] << 8 * i;
  return value;
}
static void fail(const char *why) { fprintf(stderr, "frames: %s\n", why), exit(1); }

static uint32_t begin(uint16_t kind, uint16_t flags, uint32_t body) {
  memset(out, 0, body);
  put(4, kind, 2), put(6, flags, 2), put(8, OSD, 4), put(12, ++tag, 4);
  return body;
}
/* Puts a variable part behind the record: its offset and length go to `field`. */
static uint32_t part(uint32_t end, uint32_t field, const void *bytes, uint32_t len) {
  if (len > FRAME_MAX - end) fail("the frame is too long");
  memcpy(out + end, bytes, len);
  put(field, end, 4), put(field + 4, len, 4);
  return end + len;
}
static void receive(int fd, uint8_t *to, size_t len) {
  for (ssize_t n; len > 0; to += n, len -= (size_t)n)
    if ((n = read(fd, to, len)) <= 0) fail("the connection has ended");
}
/* Sends the record, whose length comes first, and takes its verdict. Returns the decision. */
static int ask(int fd, uint32_t len) {
  put(0, len, 4);
  for (uint32_t sent = 0; sent < len;) {
    ssize_t n = write(fd, out + sent, len - sent);
    if (n < 0) fail("cannot write");
    sent += (uint32_t)n;
  }
  receive(fd, in, 4);
  uint32_t bytes = (uint32_t)get(0, 4);
  if (bytes < 64 || bytes > sizeof in) fail("no verdict");
  receive(fd, in + 4, bytes - 4);
  if (get(8, 4) != tag) fail("a verdict for another record");
  return in[12] == 1;
}
static uint32_t read_hex(void) {
  uint32_t n = 0;
  unsigned byte;
  for (int c = 0; n < sizeof line && c != '\n' && scanf("%2x", &byte) == 1; ungetc(c, stdin))
    line[n++] = (uint8_t)byte, c = getchar();
  return n;
}
static void print_hex(const char *name, uint32_t field) {
  printf("%s ", name);
  for (uint32_t i = 0; i < get(field + 4, 4); i++) printf("%02x", in[get(field, 4) + i]);
  printf("\n"), fflush(stdout);
}
static int verify(int fd, const char *connection) {
  uint32_t len = read_hex(), end = begin(VERIFY, TAIL | REPLY | KEEP, 80);
  end = part(end, 24, line, len);
  end = part(end, 32, connection, (uint32_t)strlen(connection));
  return ask(fd, part(end, 40, token, token_len));
}

int main(int argc, char **argv) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (argc != 5 || strlen(argv[1]) >= sizeof to.sun_path) fail("SOCKET CONNECTION POOL OBJECT");
  strcpy(to.sun_path, argv[1]);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) fail("cannot connect");
  if (verify(fd, argv[2]) || get(6, 2) != 6) fail("no challenge"); /* 6: challenge required */
  if ((token_len = (uint32_t)get(108, 4)) > sizeof token) fail("the state is too long");
  memcpy(token, in + get(104, 4), token_len);
  print_hex("challenge", 96);
  if (!verify(fd, argv[2])) return printf("refused %d\n", (int)get(6, 2)), 2;
  print_hex("reply", 96);
  printf("client %.*s\n", (int)get(76, 4), (char *)in + get(72, 4));
  uint64_t session = get(56, 8);
  uint32_t end = begin(CHECK, 0, 96);
  put(16, session, 8), put(64, 1, 4); /* 1: read */
  end = part(end, 24, argv[3], (uint32_t)strlen(argv[3]));
  int yes = ask(fd, part(end, 40, argv[4], (uint32_t)strlen(argv[4])));
  return printf("%s %d\n", yes ? "yes" : "no", (int)get(6, 2)), close(fd), 0;
}
