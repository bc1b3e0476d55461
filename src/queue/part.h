/*
 * part.h
 *		A part of what a batch has in the queue.
 */
#ifndef ACTEON_PART_H
#define ACTEON_PART_H

#include "query/text_list.h"
#include "queue/schedule.h"

/* Which actions of a batch are meant: those that meet all that is given. */
typedef struct PartFilter
{
	text *tenant;        /* NULL: any */
	text *provider;      /* NULL: any */
	TextList action_ids; /* original or new ones; not given: any */
} PartFilter;

/* Whether anything is to be done with the actions of a segment, if they are meant. */
typedef bool (*ConcernsSegment)(void *argument, const Segment *segment);

/*
 * Changes what a segment has of a part, which is locked.  Returns false if its actions have
 * left the queue.
 */
typedef bool (*ChangeRun)(void *argument, Segment *run);

extern bool IsInPart(const PartFilter *filter, TupleTableSlot *row);
extern void ChangePart(const BatchQueue *queue, const PartFilter *filter, ConcernsSegment concerns,
					   ChangeRun change, void *argument);

#endif /* ACTEON_PART_H */
