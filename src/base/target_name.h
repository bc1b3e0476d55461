/*
 * target_name.h
 *		What can be the name of a target; target.c tells what one is.
 *
 * The extension, the table of options and the programs include it, so it needs none of
 * the server's headers.
 */
#ifndef ACTEON_TARGET_NAME_H
#define ACTEON_TARGET_NAME_H

#include <stdbool.h>
#include <string.h>

/* The target of what names none. */
#define PRODUCTION "production"

/* Maximum length of a target's name, in bytes. */
#define TARGET_MAXLEN 63

#define TARGET_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"

/*
 * Whether the first so many bytes of a text are the name of a target.
 */
static inline bool
IsNameOfTarget(const char *name, size_t len)
{
	return len > 0 && len <= TARGET_MAXLEN && name[0] >= 'a' && name[0] <= 'z' &&
		   strspn(name, TARGET_CHARACTERS) >= len;
}

#endif /* ACTEON_TARGET_NAME_H */
