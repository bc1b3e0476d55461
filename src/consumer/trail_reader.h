/*
 * trail_reader.h
 *		What the parts of a check of the trail share.
 */
#ifndef TRAIL_READER_H
#define TRAIL_READER_H

#include "executor/spi.h"

#include "consumer/trail.h"

/* A check under way. */
typedef struct TrailCheck
{
	const TrailObserver *observer;
	const char *schema;
	TrailSeen *seen;
	Digest digest;
	struct SettledAt *settled; /* by position */
	int settled_count;
	MemoryContext range_context;
	MemoryContext row_context;
	int64 first_id; /* of the range */
	int64 last_id;
	struct Linked *linked; /* in the range, by id */
	int count;
	int allocated;
	struct Removal *removals; /* of the range; NULL: not read yet */
	uint64 removal_count;
} TrailCheck;

/* The rows that a statement finds, one after the other. */
typedef struct TrailReader
{
	MemoryContext context; /* of a row */
	Portal portal;
	SPITupleTable *fetched;
	uint64 count;
	uint64 at;
} TrailReader;

extern void
ReportTrail(TrailCheck *check, const char *violation, int64 id, int64 number, const char *detail);
extern void ReportTrailNumber(TrailCheck *check, const char *what, const char *how, int64 number,
							  const char *because);
extern void OpenTrailReader(TrailCheck *check, TrailReader *reader, const char *statement,
							int count, Datum *values);
extern HeapTuple NextTrailRow(TrailReader *reader);
extern void CloseTrailReader(TrailReader *reader);
extern int64 TrailRowNumber(const TrailReader *reader, HeapTuple row);

/* trail_batches.c */
extern void CheckTrailBatches(TrailCheck *check);

#endif
