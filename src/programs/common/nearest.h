/*
 * nearest.h
 *		Which of several names one that is mistyped may stand for.
 */
#ifndef NEAREST_H
#define NEAREST_H

#include <stddef.h>

/* A search among names, which are told one by one. */
typedef struct Nearest
{
	const char *given;
	size_t given_len;
	const char *name; /* the nearest one so far; NULL: none is near */
	int distance;     /* of that */
} Nearest;

extern void NearestStart(Nearest *nearest, const char *given, size_t len);
extern void NearestTry(Nearest *nearest, const char *name);
extern int EditDistance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
