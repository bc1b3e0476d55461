/*
 * message.h
 *		Users' values in messages.
 */
#ifndef ACTEON_MESSAGE_H
#define ACTEON_MESSAGE_H

#include "lib/stringinfo.h"
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

/*
 * A list of names for a hint: "a, b, or c".  One with a comma in it is quoted.
 */
static inline char *
ListNames(const char *const *names, int count)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, strchr(names[i], ',') != NULL ? "%s%s'%s'" : "%s%s%s",
						 i > 0 ? ", " : "", i > 0 && i == count - 1 ? "or " : "", names[i]);
	return list.data;
}

#endif /* ACTEON_MESSAGE_H */
