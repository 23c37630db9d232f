/* The core in JavaScriptCore: any build, by batches, since each call through its C API costs. */
#include <JavaScriptCore/JavaScript.h>
#include <stdio.h>
#include <string.h>

#include "drive.h"

static const char *const NAMES[EXPORTS] = {
    "abi_version", "init", "layout", "run", "secret_put", "secret_remove", "secret_clear",
    "secret_count", "session_release", "revoke", "cache_clear", "caps_view", "seal", "open",
    "derive", "challenge_hash", "primitive", "work_wipe"};
/* Its C API shows no memory of WebAssembly, so bytes go through an array that both sides see. */
#define SHARED_LEN (1u << 20)
static const char START[] =
    "const core = new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;"
    "const shared = new Uint8Array(1 << 20);"
    "const memory = (at, length) => new Uint8Array(core.memory.buffer, at, length);"
    "({ ...core, shared,"
    " read: (at, length) => { shared.set(memory(at >>> 0, length)); },"
    " write: (at, length) => { memory(at >>> 0, length).set(shared.subarray(0, length)); } })";

static JSContextRef context;
static JSObjectRef core;
static uint8_t *shared;

static JSObjectRef object(JSValueRef value, JSValueRef raised) {
  if (raised || !value) fail("JavaScriptCore raised an error");
  return JSValueToObject(context, value, NULL);
}

static JSObjectRef property(JSObjectRef of, const char *name) {
  JSStringRef text = JSStringCreateWithUTF8CString(name);
  JSValueRef raised = NULL, value = JSObjectGetProperty(context, of, text, &raised);
  JSStringRelease(text);
  return object(value, raised);
}

void host_start(const char *name) {
  static uint8_t bytes[1 << 20];
  FILE *file = fopen(name, "rb");
  size_t length = file ? fread(bytes, 1, sizeof bytes, file) : 0;
  if (length == 0) fail("cannot read the .wasm file");
  fclose(file);
  JSGlobalContextRef global = JSGlobalContextCreate(NULL);
  context = global;
  JSValueRef raised = NULL;
  JSObjectRef array = JSObjectMakeTypedArray(context, kJSTypedArrayTypeUint8Array, length, &raised);
  uint8_t *to = JSObjectGetTypedArrayBytesPtr(context, array, &raised);
  for (size_t i = 0; i < length; i++) to[i] = bytes[i];
  JSStringRef text = JSStringCreateWithUTF8CString("bytes");
  JSObjectSetProperty(context, JSContextGetGlobalObject(context), text, array, 0, &raised);
  JSStringRelease(text);
  text = JSStringCreateWithUTF8CString(START);
  core = object(JSEvaluateScript(context, text, NULL, NULL, 1, &raised), raised);
  JSStringRelease(text);
  JSValueProtect(context, core);
  shared = JSObjectGetTypedArrayBytesPtr(context, property(core, "shared"), &raised);
  if (!shared) fail("no shared array");
}

static uint32_t call(const char *name, const uint32_t args[4]) {
  JSValueRef values[4], raised = NULL;
  for (int i = 0; i < 4; i++) values[i] = JSValueMakeNumber(context, args[i]);
  JSObjectRef function = property(core, name);
  JSValueRef result = JSObjectCallAsFunction(context, function, NULL, 4, values, &raised);
  if (raised) fail("a call raised an error");
  if (JSValueIsUndefined(context, result)) return 0;
  /* A negative i32 comes back as such. */
  return (uint32_t)(int64_t)JSValueToNumber(context, result, NULL);
}

uint32_t host_call(uint32_t export, const uint32_t args[4]) {
  if (export >= EXPORTS) fail("an unknown export");
  return call(NAMES[export], args);
}

void host_read(uint8_t *to, uint32_t address, uint32_t length) {
  const uint32_t args[4] = {address, length};
  if (length > SHARED_LEN) fail("more than can be copied at once");
  call("read", args);
  memcpy(to, shared, length);
}

void host_write(uint32_t address, const uint8_t *from, uint32_t length) {
  const uint32_t args[4] = {address, length};
  if (length > SHARED_LEN) fail("more than can be copied at once");
  memcpy(shared, from, length);
  call("write", args);
}
