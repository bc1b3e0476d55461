/*
 * text.h
 *		Comparing texts byte for byte.
 */
#ifndef ACTEON_TEXT_H
#define ACTEON_TEXT_H

/*
 * Whether a text is the given string.
 */
static inline bool
TextIs(const text *value, const char *string)
{
	return VARSIZE_ANY_EXHDR(value) == strlen(string) &&
		   memcmp(VARDATA_ANY(value), string, strlen(string)) == 0;
}

/*
 * Whether two texts are the same.
 */
static inline bool
SameText(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * The same for texts that may be NULL.
 */
static inline bool
SameOptionalText(const text *a, const text *b)
{
	return a == NULL || b == NULL ? a == b : SameText(a, b);
}

#endif /* ACTEON_TEXT_H */
