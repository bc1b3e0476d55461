/*
 * extend.c
 *		acteon_outbox_extend: the heartbeat of a consumer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "consumer/call.h"
#include "queue/segment.h"

PG_FUNCTION_INFO_V1(acteon_outbox_extend);

/* What is leased under the tokens of a call. */
typedef struct Leases
{
	Segment *segments;
	int count;
	int allocated;
} Leases;

/*
 * Order of segments, by their ids: that in which all calls change them.
 */
static int
compare_segments(const void *a, const void *b)
{
	const Segment *sa = a;
	const Segment *sb = b;

	return sa->first_id < sb->first_id ? -1 : sa->first_id > sb->first_id;
}

/*
 * Find what is leased under tokens, in the order of ids.
 */
static void
find_leases(SegmentTable *table, const ArrayArgument *tokens, Leases *leases)
{
	leases->count = 0;
	for (int i = 0; i < tokens->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		FindLease(table, DatumGetInt64(tokens->values[i]), &leases->segments, &leases->count,
				  &leases->allocated);
	}
	qsort(leases->segments, leases->count, sizeof(Segment), compare_segments);
}

/*
 * Make a lease end at a time, if it has not expired.  This is checked after the
 * segment is locked: an expired lease cannot be extended, because other
 * segments of its lane may have been claimed since.  Returns false if another
 * session has changed the segment.
 */
static bool
extend_segment(SegmentTable *table, const Segment *segment, TimestampTz until)
{
	Segment extended = *segment;

	if (!HoldSegment(table, segment, true))
		return false;
	extended.due_at = until;
	return !SegmentIsLeased(segment, GetCurrentTimestamp()) ||
		   ReplaceSegment(table, segment, &extended, 1);
}

/*
 * Make what is leased under tokens end at a time.
 */
static void
extend_leases(SegmentTable *table, const ArrayArgument *tokens, TimestampTz until, Leases *leases)
{
	bool done = false;

	while (!done)
	{
		done = true;
		find_leases(table, tokens, leases);
		for (int i = 0; i < leases->count && done; i++)
		{
			const Segment *segment = &leases->segments[i];

			CHECK_FOR_INTERRUPTS();
			/* A token may be given twice, and some may be done from before. */
			if (segment->due_at < until && (i == 0 || segment->first_id != segment[-1].first_id))
				done = extend_segment(table, segment, until);
		}
		/* Make it visible, to the next round as well. */
		CommandCounterIncrement();
	}
	find_leases(table, tokens, leases);
}

/*
 * Whether anything is leased under a token at a time.
 */
static bool
is_held(const Leases *leases, int64 token, TimestampTz now)
{
	for (int i = 0; i < leases->count; i++)
	{
		if (leases->segments[i].lease_token == token && SegmentIsLeased(&leases->segments[i], now))
			return true;
	}
	return false;
}

/*
 * acteon_outbox_extend(lease_token bigint[], lease interval) → bigint[]
 *
 * Makes leases end the given time from now, unless they end later anyway;
 * returns the tokens under which something is still leased, in the order given.
 * Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_extend(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	SegmentTable segments;
	Leases leases = {0};
	ArrayArgument tokens;
	TimestampTz until;
	Datum *held;
	int count = 0;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_extend()", true);
	tokens = ReadIds(fcinfo, 0, "lease_token");
	until = LeaseEnd(fcinfo, 1, call.now);
	held = palloc(Max(tokens.count, 1) * sizeof(Datum));
	leases.allocated = 8;
	leases.segments = palloc(leases.allocated * sizeof(Segment));
	OpenSegments(&segments, call.schema);
	extend_leases(&segments, &tokens, until, &leases);
	for (int i = 0; i < tokens.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_held(&leases, DatumGetInt64(tokens.values[i]), GetCurrentTimestamp()))
			held[count++] = tokens.values[i];
	}
	CloseSegments(&segments);
	EndConsumerCall(&call);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(held, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
