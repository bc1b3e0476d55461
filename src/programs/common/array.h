/*
 * array.h
 *		Arrays as parameters of statements, in the server's binary form.
 */
#ifndef ARRAY_H
#define ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* Types of elements: these numbers never change. */
#define ARRAY_INT8 20
#define ARRAY_TEXT 25
#define ARRAY_INTERVAL 1186
#define ARRAY_UUID 2950
#define ARRAY_JSONB 3802

typedef Buffer Array;

extern void ArrayStart(Array *array, uint32_t type, int count);
extern void ArrayAddNumber(Array *array, int64_t value);
extern void ArrayAddText(Array *array, const char *text, size_t len);
extern void ArrayAddJson(Array *array, const char *text, size_t len);
extern void ArrayAddInterval(Array *array, int64_t duration);
extern void ArrayAddUuid(Array *array, const char *text);
extern void ArrayAddNull(Array *array);
extern int64_t TextToNumber(const char *text);

#endif
