/*
 * segment_actions.h
 *		Reading the actions of a segment from the outbox.
 */
#ifndef ACTEON_SEGMENT_ACTIONS_H
#define ACTEON_SEGMENT_ACTIONS_H

#include "base/table_access.h"
#include "queue/segment.h"

/* What is done with the row of an action, given its place in the segment, from 0. */
typedef void (*VisitAction)(void *argument, int place, TupleTableSlot *row);

extern bool
ReadSegmentActions(TableFinder *outbox, const Segment *segment, VisitAction visit, void *argument);
extern void
ReadWhatIsReadable(TableFinder *outbox, const Segment *segment, VisitAction visit, void *argument);

#endif /* ACTEON_SEGMENT_ACTIONS_H */
