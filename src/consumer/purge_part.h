/*
 * purge_part.h
 *		Emptying the parts of the outbox whose actions are all old.
 */
#ifndef ACTEON_PURGE_PART_H
#define ACTEON_PURGE_PART_H

#include "datatype/timestamp.h"

#include "base/partition.h"

/* What a purge does with a part of the outbox. */
typedef enum PartFate
{
	PART_STAYS,     /* it has nothing to purge, or nothing yet */
	PART_IS_BUSY,   /* it is locked */
	PART_GOES,      /* as a whole, but for a few rows */
	PART_IS_THINNED /* row by row */
} PartFate;

extern void
ChoosePartsToPurge(Oid schema, TimestampTz before, TimestampTz now, PartFate fates[PARTITIONS]);
extern int64
EmptyParts(Oid schema, TimestampTz before, const PartFate fates[PARTITIONS], int *busy);

#endif /* ACTEON_PURGE_PART_H */
