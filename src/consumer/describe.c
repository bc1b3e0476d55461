/*
 * describe.c
 *		acteon_outbox_describe: what a consumer that routes actions wants to know of
 *		them besides their body.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/table_access.h"
#include "consumer/call.h"

/* The columns of the outbox that are returned, in this order. */
static const AttrNumber described[] = {
	Anum_outbox_id,         Anum_outbox_batch_id,    Anum_outbox_original_action_id,
	Anum_outbox_generation, Anum_outbox_namespace,   Anum_outbox_tenant,
	Anum_outbox_provider,   Anum_outbox_action_type, Anum_outbox_fingerprint,
};

PG_FUNCTION_INFO_V1(acteon_outbox_describe);

/*
 * Return the row of the outbox that was found.
 */
static void
return_found(TableFinder *outbox, ReturnSetInfo *result)
{
	Datum values[lengthof(described)];
	bool nulls[lengthof(described)];

	for (int i = 0; i < lengthof(described); i++)
		values[i] = FoundColumn(outbox, described[i], &nulls[i]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * acteon_outbox_describe(outbox_ids bigint[]) → setof (outbox_id, batch_id bigint,
 * original_action_id text, generation integer, namespace, tenant, provider,
 * action_type, fingerprint text)
 *
 * What the outbox has of actions, in the order given; those that it does not have
 * are left out.  Reads only.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_outbox_describe(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	TableFinder outbox;
	ArrayArgument ids;
	Snapshot snapshot;

	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_describe()", false);
	ids = ReadIds(fcinfo, 0, "outbox_ids");
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	OpenPartedFinder(&outbox, call.schema, OUTBOX_TABLE, Anum_outbox_id);
	for (int i = 0; i < ids.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (FindRow(&outbox, F_INT8EQ, ids.values[i], snapshot))
			return_found(&outbox, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	CloseFinder(&outbox);
	UnregisterSnapshot(snapshot);
	EndConsumerCall(&call);
	return (Datum) 0;
}
