/*
 * batch_events.h
 *		What happens to batches, for notifications.
 */
#ifndef ACTEON_BATCH_EVENTS_H
#define ACTEON_BATCH_EVENTS_H

#include "batch/batch_row.h"
#include "batch/notification.h"

/* Batches that have actions which are held in doubt; see ReadHolding. */
typedef struct Holding
{
	int64 *batch_ids;
	int count;
	int allocated;
	bool is_partial; /* others may have some as well */
	int64 read;      /* how many segments were read for this and for the events of batches */
} Holding;

extern void ReadHolding(Holding *holding, Oid schema);
extern uint32 BatchEvents(Oid schema, const BatchRow *batch, Holding *holding, TimestampTz now);

#endif /* ACTEON_BATCH_EVENTS_H */
