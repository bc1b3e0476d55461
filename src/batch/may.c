/*
 * may.c
 *		What a role may do with a batch, for programs that offer nothing that would be
 *		refused.
 *
 * The rules are those of the functions themselves (may_steer.c, approval.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "base/catalog.h"
#include "batch/approval.h"
#include "batch/batch_row.h"
#include "batch/may_steer.h"

PG_FUNCTION_INFO_V1(acteon_replay_may);

/* What can be done, by the names of the functions without acteon_replay_, and who may. */
static const struct
{
	const char *name;
	Steering steering;
	bool is_continue;
} steps[] = {
	{"pause", STEER_RESTRAIN},   {"cancel", STEER_RESTRAIN},       {"resume", STEER_FREELY},
	{"set_rate", STEER_FREELY},  {"set_start", STEER_FREELY},      {"settle", STEER_FREELY},
	{"hand_over", STEER_FREELY}, {"continue", STEER_FREELY, true},
};

/*
 * acteon_replay_may(batch_id bigint) → text[]
 *
 * What the caller's role may do with the batch, by the names of the functions; empty if
 * nothing, or if there is no such batch.  Reads only.
 */
Datum
acteon_replay_may(PG_FUNCTION_ARGS)
{
	int64 batch_id = BatchArgument(fcinfo, 0);
	Oid schema = CalledSchema(fcinfo);
	Grants *grants = LoadGrants(GetUserId(), schema);
	Steering steering = MayBeSteered(schema, batch_id, GetUserId(), grants);
	Datum names[lengthof(steps) + 1];
	BatchRow batch;
	int count = 0;

	for (int i = 0; i < lengthof(steps); i++)
	{
		/* What was approved is enqueued by the role that it was approved for. */
		if (steps[i].is_continue && ReadBatch(schema, batch_id, &batch) &&
			batch.approved_at.given && batch.requested_by != GetUserId())
			continue;
		if (steering >= steps[i].steering)
			names[count++] = CStringGetTextDatum(steps[i].name);
	}
	if (MayBeApproved(schema, batch_id, GetUserId(), grants))
		names[count++] = CStringGetTextDatum("approve");
	PG_RETURN_ARRAYTYPE_P(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}
