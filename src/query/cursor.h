/*
 * cursor.h
 *		The text of a cursor.
 */
#ifndef ACTEON_CURSOR_H
#define ACTEON_CURSOR_H

#include "datatype/timestamp.h"

/* A place in the ordered records, behind one of them. */
typedef struct ReplayCursor
{
	TimestampTz dispatched_at;
	char *id;
	int alike; /* so many records with this time and id are before it */
} ReplayCursor;

extern char *CursorText(const char *digest, const ReplayCursor *place);
extern const char *CursorDigest(const char *text);
extern bool CursorPlace(const char *digest, ReplayCursor *place);

#endif /* ACTEON_CURSOR_H */
