/*
 * postgres.h
 *		As much of the server as proofs need: types, memory that never runs out, and errors
 *		that end what is being proved.
 */
#ifndef POSTGRES_H
#define POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prove.h"

#define PG_VERSION_NUM 150000

typedef uint8_t uint8;
typedef int32_t int32;
typedef uint32_t uint32;
typedef int64_t int64;
typedef uint64_t uint64;
typedef size_t Size;

#define INT64CONST(number) INT64_C(number)
#define PG_INT64_MAX INT64_MAX
#define Min(a, b) ((a) < (b) ? (a) : (b))
#define Max(a, b) ((a) > (b) ? (a) : (b))
#define StaticAssertDecl(condition, message) _Static_assert(condition, message)
#define pg_attribute_noreturn() __attribute__((noreturn))

#define ereport(level, rest) ASSUME(false)
#define elog(level, ...) ASSUME(false)

static inline void *
palloc(Size size)
{
	void *memory = malloc(size);

	ASSUME(memory != NULL);
	return memory;
}

#define pfree(memory) free(memory)

#include "port.h"

#endif
