/*
 * lease.c
 *		acteon_outbox_extend: the heartbeat of a consumer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "consumer.h"
#include "segment.h"

PG_FUNCTION_INFO_V1(acteon_outbox_extend);

/*
 * Make a lease end at a time.  Returns whether anything is leased under the
 * token; what has run out is not revived, as it may be given out at any moment.
 */
static bool
extend_lease(SegmentTable *table, int64 token, TimestampTz now, TimestampTz until)
{
	for (;;)
	{
		int count;
		Segment *segments = FindLease(table, token, &count);
		bool held = false;
		bool again = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count && !again; i++)
		{
			Segment extended = segments[i];

			if (!SegmentIsLeased(&segments[i], now))
				continue;
			held = true;
			extended.due_at = until;
			if (extended.due_at != segments[i].due_at)
				again = !ReplaceSegment(table, &segments[i], &extended, 1, true, NULL);
		}
		if (!again)
			return held;
		/* Somebody was quicker with one of them: see what is there now. */
		CommandCounterIncrement();
	}
}

/*
 * acteon_outbox_extend(lease_token bigint[], lease interval) → bigint[]
 *
 * Makes leases end the given time from now; returns the tokens under which
 * something is still leased, in the order given.  Raises insufficient_privilege
 * and invalid_parameter_value.
 */
Datum
acteon_outbox_extend(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	SegmentTable segments;
	ArrayArgument tokens;
	TimestampTz until;
	Datum *held;
	int count = 0;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_extend()", true);
	tokens = ReadIds(fcinfo, 0, "lease_token");
	until = LeaseEnd(fcinfo, 1, call.now);
	held = palloc(Max(tokens.count, 1) * sizeof(Datum));
	OpenSegments(&segments, call.schema);
	for (int i = 0; i < tokens.count; i++)
	{
		if (extend_lease(&segments, DatumGetInt64(tokens.values[i]), call.now, until))
			held[count++] = tokens.values[i];
		CommandCounterIncrement(); /* a token may be given twice */
	}
	CloseSegments(&segments);
	EndConsumerCall(&call);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(held, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
