/*
 * message.h
 *		Users' values in messages.
 */
#ifndef ACTEON_MESSAGE_H
#define ACTEON_MESSAGE_H

#include "mb/pg_wchar.h"

#include "base/compat.h"

/* Bytes of a user's value that a message shows. */
#define SHOWN_BYTES 256

/*
 * A copy of a text for a message, cut between characters if it is long: an
 * action id may have thousands of bytes.
 */
static inline char *
ClipForMessage(const char *text, int len)
{
	return pnstrdup(text, pg_mbcliplen(text, len, SHOWN_BYTES));
}

/*
 * The same of a text value.
 */
static inline char *
ShowText(const text *value)
{
	return ClipForMessage(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

#endif /* ACTEON_MESSAGE_H */
