/* OSD caps: parsed each time into a table of grants, then matched. Covers allow with permissions,
 * pool, namespace, object_prefix and network: what the work items use. */
#include "native.h"
#include <string.h>

struct grant {
  int read, write, has_pool, has_ns, has_prefix;
  enum { NO_NETWORK, NETWORK, DEAD } network; /* dead: no address lies in it */
  struct text pool, ns, prefix;
  uint32_t address, mask;
};
struct cursor { const uint8_t *at, *end; };

static int is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static int is_word(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '-' && c <= '9') || c == '_';
}
static int is_network(uint8_t c) {
  return (c >= '.' && c <= ':') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '[' ||
         c == ']';
}

static int space(struct cursor *c) {
  const uint8_t *from = c->at;
  while (c->at < c->end && is_space(*c->at)) c->at++;
  return c->at > from;
}
static int literal(struct cursor *c, const char *word) {
  size_t len = strlen(word);
  if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0) return 0;
  c->at += len;
  return 1;
}

/* Quoted, or of few letters; without its quotes. */
static int word(struct cursor *c, int may_be_empty, struct text *out) {
  const uint8_t *from = c->at;
  if (c->at < c->end && (*from == '"' || *from == '\'')) {
    const uint8_t *close = memchr(from + 1, *from, (size_t)(c->end - from - 1));
    if (close == NULL || (!may_be_empty && close == from + 1)) return 0;
    *out = (struct text){from + 1, (size_t)(close - from - 1)};
    c->at = close + 1;
    return 1;
  }
  while (c->at < c->end && is_word(*c->at)) c->at++;
  *out = (struct text){from, (size_t)(c->at - from)};
  return c->at > from;
}

/* Puts the cursor back when what is optional is not there. */
static int key(struct cursor *c, const char *name, int equals) {
  struct cursor at = *c;
  if (!space(&at) || !literal(&at, name)) return 0;
  if (!(equals && literal(&at, "=")) && !space(&at)) return 0;
  *c = at;
  return 1;
}

static int permissions(struct cursor *c, struct grant *g) {
  struct cursor at = *c;
  if (!space(&at)) return 0;
  if (literal(&at, "*") || literal(&at, "all")) {
    g->read = g->write = 1;
  } else {
    int r = literal(&at, "r"), w = literal(&at, "w"), x = literal(&at, "x");
    if (!r && !w && !x) return 0;
    g->read = r, g->write = w;
  }
  *c = at;
  return 1;
}

static int constraints(struct cursor *c, struct grant *g) {
  if (key(c, "pool", 1)) {
    if (!word(c, 0, &g->pool)) return 0;
    g->has_pool = 1;
  }
  if (key(c, "namespace", 1)) {
    if (!word(c, 1, &g->ns)) return 0;
    g->has_ns = 1 + (c->at < c->end && *c->at == '*');
    if (g->has_ns == 2) c->at++;
  }
  if (key(c, "object_prefix", 0)) {
    if (!word(c, 0, &g->prefix)) return 0;
    g->has_prefix = 1;
  }
  return 1;
}

/* a.b.c.d/n; another one is of no address. */
static void parse_network(struct text text, struct grant *g) {
  const uint8_t *at = text.at, *end = at + text.len;
  uint32_t part = 0, digits = 0, parts = 0, address = 0;
  g->network = DEAD;
  for (; at < end; at++) {
    if (*at >= '0' && *at <= '9') {
      if (digits++ > 0 && part == 0 && parts < 4) return;
      part = part * 10 + (*at - '0');
      if (parts < 4 && digits > 3) return;
    } else {
      if (digits == 0 || part > 255 || parts > 3 || *at != (parts < 3 ? '.' : '/')) return;
      address = address << 8 | part, parts++, part = digits = 0;
    }
  }
  if (parts != 4 || digits == 0) return;
  g->network = NETWORK;
  g->address = address;
  g->mask = part == 0 ? 0 : UINT32_MAX << (part < 32 ? 32 - part : 0);
}

static int network(struct cursor *c, struct grant *g) {
  if (!key(c, "network", 0)) return 1;
  struct text text = {c->at, 0};
  while (c->at < c->end && is_network(*c->at)) c->at++;
  text.len = (size_t)(c->at - text.at);
  if (text.len == 0) return 0;
  parse_network(text, g);
  return 1;
}

static int at_end(struct cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) c->at++;
  return c->at == c->end;
}

/* Permissions stand before the constraints or behind them. */
static int parse_grant(struct cursor c, struct grant *g) {
  while (c.at < c.end && (*c.at == ' ' || *c.at == '\t')) c.at++;
  if (!literal(&c, "allow")) return 0;
  struct cursor rest = c;
  memset(g, 0, sizeof *g);
  if (permissions(&c, g)) {
    if (constraints(&c, g) && network(&c, g) && at_end(&c)) return 1;
    memset(g, 0, sizeof *g);
  }
  return constraints(&rest, g) && permissions(&rest, g) && network(&rest, g) && at_end(&rest);
}

static int starts(struct text text, struct text prefix) {
  return text.len >= prefix.len && memcmp(text.at, prefix.at, prefix.len) == 0;
}
static int same(struct text a, struct text b) { return a.len == b.len && starts(a, b); }

static int namespace_fits(const struct grant *g, struct text given) {
  if (g->has_ns == 2) return starts(given, g->ns);
  if (g->ns.len > 0 && g->ns.at[g->ns.len - 1] == '*')
    return starts(given, (struct text){g->ns.at, g->ns.len - 1});
  return same(given, g->ns);
}

static int covers(const struct grant *g, const struct op *op, const uint8_t peer[4]) {
  if ((op->read && !g->read) || (op->write && !g->write)) return 0;
  if (g->has_pool && !same(op->pool, g->pool)) return 0;
  if (g->has_ns && !namespace_fits(g, op->ns)) return 0;
  if (g->has_prefix && !starts(op->object, g->prefix)) return 0;
  if (g->network == NO_NETWORK) return 1;
  uint32_t address = (uint32_t)peer[0] << 24 | (uint32_t)peer[1] << 16 | (uint32_t)peer[2] << 8 | peer[3];
  return g->network == NETWORK && ((address ^ g->address) & g->mask) == 0;
}

enum reason caps_decide(struct text caps, const struct op *op, const uint8_t peer[4]) {
  static struct grant grants[GRANTS_MAX];
  size_t count = 0;
  struct cursor c = {caps.at, caps.at + caps.len};
  space(&c);
  while (c.end > c.at && is_space(c.end[-1])) c.end--;
  for (const uint8_t *at = c.at;; at++) {
    if (at < c.end && *at != ',' && *at != ';') continue;
    if (count == GRANTS_MAX) fail("too many grants");
    if (!parse_grant((struct cursor){c.at, at}, &grants[count++])) return CAPS_UNPARSABLE;
    if (at == c.end) break;
    c.at = at + 1;
  }
  for (size_t i = 0; i < count; i++)
    if (covers(&grants[i], op, peer)) return OK;
  return NO_GRANT;
}
