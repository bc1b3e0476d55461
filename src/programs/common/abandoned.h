/*
 * abandoned.h
 *		Backends that were given up and may still be there.
 */
#ifndef ABANDONED_H
#define ABANDONED_H

#include <stdbool.h>

#include <libpq-fe.h>

/* So many of a connection's may be there. */
#define MAX_ABANDONED 3

typedef struct Abandoned
{
	int pids[MAX_ABANDONED];
	int count;
} Abandoned;

/* Tells which of some backends, an array of process ids, are there. */
extern const char abandoned_sql[];

extern bool AbandonedAdd(Abandoned *abandoned, int pid);
extern bool AbandonedIsEmpty(const Abandoned *abandoned);
extern char *AbandonedList(const Abandoned *abandoned);
extern void AbandonedRead(Abandoned *abandoned, const PGresult *result);

#endif
