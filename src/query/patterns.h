/*
 * patterns.h
 *		Patterns that a query compares records with.
 */
#ifndef ACTEON_PATTERNS_H
#define ACTEON_PATTERNS_H

extern void CheckLikePattern(const char *name, const char *pattern);
extern Datum ReadJsonPath(const char *name, const char *text);

#endif /* ACTEON_PATTERNS_H */
