/*
 * damaged.h
 *		Reading what may be damaged.
 */
#ifndef ACTEON_DAMAGED_H
#define ACTEON_DAMAGED_H

typedef void (*GuardedWork)(void *argument);

extern bool IsAboutValue(const ErrorData *error);
extern char *RunGuarded(GuardedWork work, void *argument);

#endif /* ACTEON_DAMAGED_H */
