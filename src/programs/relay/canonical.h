/*
 * canonical.h
 *		The bytes of an action that are signed.
 */
#ifndef CANONICAL_H
#define CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

/* An action as the gateway reads it.  All of it may have been sealed. */
typedef struct Canonical
{
	Buffer text; /* what is signed */
	Buffer tenant;
	Buffer name_space;
} Canonical;

extern bool CanonicalRead(Canonical *canonical, const char *action, size_t len, const char **error);
extern void CanonicalWipe(Canonical *canonical);

#endif
