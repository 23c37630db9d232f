/* Reads a corpus (bench/native.ts writes it) and works on it as it is told line by line:
 *   compare              -> verdicts compared, verdicts that are wrong
 *   slice STYLE FROM N   -> CPU microseconds of N items from item FROM on; STYLE evp, ceph or caps
 *   cc -O2 -o native main.c verify.c seal.c caps.c -lcrypto && ./native CORPUS
 */
#define _POSIX_C_SOURCE 200112L
#include "native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint8_t *corpus, *at, *corpus_end;
static uint32_t reasons[REASONS]; /* numbers of the reasons */
static struct ring ring_evp, ring_ceph;
static struct item *items;
static uint32_t measured, all;

void fail(const char *why) { fprintf(stderr, "native: %s\n", why), exit(1); }

static uint64_t number(size_t bytes) {
  uint64_t value = 0;
  if ((size_t)(corpus_end - at) < bytes) fail("the corpus is too short");
  for (size_t i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
  at += bytes;
  return value;
}
static struct text text(void) {
  struct text text = {NULL, number(4)};
  if ((size_t)(corpus_end - at) < text.len) fail("the corpus is too short");
  text.at = at;
  at += text.len;
  return text;
}

static void load(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("cannot read the corpus");
  long len = ftell(file);
  rewind(file);
  if (len <= 0 || (corpus = malloc((size_t)len)) == NULL) fail("cannot read the corpus");
  if (fread(corpus, 1, (size_t)len, file) != (size_t)len) fail("cannot read the corpus");
  fclose(file);
  at = corpus, corpus_end = corpus + len;
}

static void read_item(struct item *item) {
  item->challenge = number(8);
  item->expected = (uint32_t)number(4);
  for (int i = 0; i < 4; i++) item->peer[i] = (uint8_t)number(1);
  uint32_t bits = (uint32_t)number(4);
  item->op.read = bits & 1, item->op.write = bits >> 1 & 1;
  item->authorizer = text();
  item->op.pool = text(), item->op.ns = text(), item->op.object = text();
}

static void read_corpus(void) {
  for (int i = 0; i < REASONS; i++) reasons[i] = (uint32_t)number(4);
  ring_evp.service = (uint32_t)number(4);
  ring_evp.now = (int64_t)number(8), ring_evp.skew = (int64_t)number(8);
  ring_evp.count = number(4);
  if (ring_evp.count > SECRETS_MAX) fail("too many secrets");
  for (size_t i = 0; i < ring_evp.count; i++) {
    struct secret *secret = &ring_evp.secrets[i];
    secret->id = number(8), secret->type = (int)number(4), secret->key = text();
  }
  measured = (uint32_t)number(4), all = (uint32_t)number(4);
  if (measured == 0 || all < measured) fail("no items");
  if ((items = calloc(all, sizeof *items)) == NULL) fail("no memory");
  for (uint32_t i = 0; i < all; i++) read_item(&items[i]);
  ring_ceph = ring_evp;
  for (size_t i = 0; i < ring_evp.count; i++) {
    style_evp.keep(&ring_evp.secrets[i]);
    style_ceph.keep(&ring_ceph.secrets[i]);
  }
}

static uint32_t wrong(void) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < all; i++) {
    count += reasons[verify(&style_evp, &ring_evp, &items[i])] != items[i].expected;
    count += reasons[verify(&style_ceph, &ring_ceph, &items[i])] != items[i].expected;
  }
  return count;
}

static const char CAPS[] = "allow rw pool=liverpool namespace=ns1 object_prefix rbd_data, "
                           "allow r pool=other network 10.0.0.0/8";

static double slice(const char *style, uint32_t from, uint32_t calls) {
  static volatile unsigned sink;
  struct timespec a, b;
  struct text caps = {(const uint8_t *)CAPS, sizeof CAPS - 1};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
  for (uint32_t n = 0; n < calls; n++) {
    const struct item *item = &items[(from + n) % measured];
    if (style[0] == 'e') sink += verify(&style_evp, &ring_evp, item);
    else if (style[1] == 'e') sink += verify(&style_ceph, &ring_ceph, item);
    else sink += caps_decide(caps, &item->op, item->peer);
  }
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
  return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

int main(int argc, char **argv) {
  char line[128], style[8];
  unsigned from, calls;
  if (argc != 2) fail("usage: native CORPUS");
  load(argv[1]);
  read_corpus();
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "slice %7s %u %u", style, &from, &calls) == 3)
      printf("%.1f\n", slice(style, from, calls));
    else
      printf("%u %u\n", 2 * all, wrong());
    fflush(stdout);
  }
  return 0;
}
