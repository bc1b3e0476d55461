/*
 * json.h
 *		JSON as RFC 8259 has it, and text that is safe to store.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_parse.h>

#include "common/buffer.h"

extern bool JsonParse(const char *text, size_t len, const yajl_callbacks *callbacks, void *context);
extern bool JsonHasHalfPair(const char *text, size_t len);
extern bool JsonIsValid(const char *text, size_t len);
extern bool JsonGetString(const char *text, size_t len, const char *key, Buffer *value);
extern int64_t JsonGetNumber(const char *text, size_t len, const char *key);
extern bool JsonIsOnlyString(const char *text, size_t len, const char *key);
extern bool JsonReadTag(const char *text, size_t len, Buffer *tag);
extern void JsonAppendString(Buffer *buffer, const char *text, size_t len);
extern void JsonAppendExactString(Buffer *buffer, const char *text);
extern bool IsUtf8(const char *text, size_t len);
extern void AppendCleanText(Buffer *buffer, const char *text, size_t len, size_t most);

#endif
