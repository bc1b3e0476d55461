/*
 * call.c
 *		What the functions of the gateway's side have in common.
 *
 * A consumer claims actions from the outbox (claim.c), records their results
 * (answer.c) and extends its leases (extend.c).  It needs no session state: every
 * call is one statement.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/partition.h"
#include "base/table_access.h"
#include "base/triggers.h"
#include "consumer/call.h"
#include "queue/action_trace.h"

/* How long a lease can be: longer ones are a mistake. */
#define MAX_LEASE_DAYS 1

/*
 * Begin a call: check that the server can write, if the call does, and that
 * the caller may deliver, and act as the owner of the extension's tables until
 * EndConsumerCall.
 *
 * The caller needs a grant as gateway, its own or that of a role whose rights
 * it inherits; no other application role counts.  A superuser needs none.
 */
void
BeginConsumerCall(ConsumerCall *call, FunctionCallInfo fcinfo, const char *function, bool writes)
{
	Oid caller = GetUserId();

	if (writes)
	{
		PreventCommandDuringRecovery(function);
		PreventCommandIfReadOnly(function);
	}
	call->schema = CalledSchema(fcinfo);
	call->now = GetCurrentTimestamp();
	if (!GrantsMayDeliver(LoadGrants(caller, call->schema)))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_ROLE),
			 errmsg("insufficient permissions: %s requires gateway role", function),
			 errdetail("Role \"%s\" has no such grant in acteon_grants.",
					   GetUserNameFromId(caller, false)),
			 errhint(
				 "The owner of acteon_grants can insert one for this role, or for a role whose rights it inherits. See \"Who may do what\" in doc/operations.md.")));
	SwitchIdentity(&call->caller, TableOwner(OwnTable(call->schema, OUTBOX_TABLE)));
	BeginTracedCall(function);
}

/*
 * End a call: be the caller again.  What the call has done is made visible to
 * further calls in the same statement, as in
 * SELECT acteon_outbox_ack(…) FROM acteon_outbox_claim(…).
 */
void
EndConsumerCall(ConsumerCall *call)
{
	CommandCounterIncrement();
	RestoreIdentity(&call->caller);
}

/*
 * Refuse a call by a function that the script of another version has created, with
 * fewer arguments than the library reads.
 */
void
CheckArguments(FunctionCallInfo fcinfo, int count)
{
	if (PG_NARGS() < count)
		RefuseOlderObjects();
}

/*
 * Read an array argument, which must not be NULL and have one dimension or
 * nothing in it.
 */
ArrayArgument
ReadArray(FunctionCallInfo fcinfo, int argument, const char *name)
{
	ArrayArgument result;
	ArrayType *array;
	int16 len;
	bool byval;
	char align;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be null", name),
				 errhint("Pass an array; it can be empty: '{}'.")));
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must have one dimension", name),
						errdetail("It has %d dimensions.", ARR_NDIM(array)),
						errhint("Pass a plain array, as array_agg() makes it.")));
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &result.values, &result.nulls,
					  &result.count);
	return result;
}

/*
 * The same for bigints, none of which may be NULL.
 */
ArrayArgument
ReadIds(FunctionCallInfo fcinfo, int argument, const char *name)
{
	ArrayArgument result = ReadArray(fcinfo, argument, name);

	for (int i = 0; i < result.count; i++)
	{
		if (result.nulls[i])
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not contain nulls", name), errdetail("Element %d is null.", i + 1),
				 errhint(
					 "For each action, pass the value that acteon_outbox_claim() or the outbox has.")));
	}
	return result;
}

/*
 * Raise an error if an array has another length than outbox_id.
 */
void
CheckSameLength(const ArrayArgument *ids, const ArrayArgument *other, const char *name)
{
	if (ids->count != other->count)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must have as many elements as outbox_id", name),
						errdetail("It has %d, outbox_id has %d.", other->count, ids->count)));
}

/*
 * Read an integer argument that must be at least 1.
 */
int
PositiveInteger(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument) || PG_GETARG_INT32(argument) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be at least 1", name),
				 errhint("Leave it out for the default.")));
	return PG_GETARG_INT32(argument);
}

/*
 * When a lease ends that begins now, by an interval argument.
 */
TimestampTz
LeaseEnd(FunctionCallInfo fcinfo, int argument, TimestampTz now)
{
	Interval least = {0};
	Interval most = {.day = MAX_LEASE_DAYS};
	Datum lease = PG_ARGISNULL(argument) ? IntervalPGetDatum(&least) : PG_GETARG_DATUM(argument);

	if (DatumGetBool(DirectFunctionCall2(interval_le, lease, IntervalPGetDatum(&least))) ||
		DatumGetBool(DirectFunctionCall2(interval_gt, lease, IntervalPGetDatum(&most))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lease must be a positive time of at most %d day", MAX_LEASE_DAYS),
				 errhint("Pass an interval that is several times as long as an action takes.")));
	return DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now), lease));
}

/*
 * Delete the rows with the given ids from a table, and not from those that inherit from
 * it, by a statement; returns how many there were.
 */
static int
delete_at_once(Relation rel, const char *column, const Datum *ids, int count)
{
	int sec_context = AllowDeferring(rel);
	Oid type = INT8ARRAYOID;
	Datum array = PointerGetDatum(construct_array(unconstify(Datum *, ids), count, INT8OID,
												  sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	char *sql = psprintf("DELETE FROM ONLY %s.%s WHERE %s = ANY ($1)",
						 quote_identifier(get_namespace_name(RelationGetNamespace(rel))),
						 RelationGetRelationName(rel), column);

	if (SPI_execute_with_args(sql, 1, &type, &array, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete from %s: %s", RelationGetRelationName(rel),
			 SPI_result_code_string(SPI_result));
	SetUserIdAndSecContext(GetUserId(), sec_context);
	pfree(sql);
	pfree(DatumGetPointer(array));
	return (int) SPI_processed;
}

/*
 * The same row by row.
 */
static int
delete_one_by_one(Relation rel, const char *column, const Datum *ids, int count)
{
	Oid relid = RelationGetRelid(rel);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableWriter writer;
	TableFinder finder;
	int deleted = 0;

	OpenWriter(&writer, relid, true);
	OpenFinder(&finder, relid, get_attnum(relid, column));
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (FindRow(&finder, F_INT8EQ, ids[i], snapshot) &&
			DeleteRow(&writer, &finder.slot->tts_tid))
			deleted++;
	}
	CloseFinder(&finder);
	CloseWriter(&writer);
	UnregisterSnapshot(snapshot);
	return deleted;
}

/*
 * Delete the rows with the given ids, all of which must be there, from a table that is
 * kept in parts: from each part those that are in it, as triggers and foreign keys of one
 * do not concern the others.  Locks no other part.  Needs an SPI connection.
 */
void
DeleteRows(Oid schema, const char *table, const char *column, const Datum *ids, int count)
{
	for (int first = 0, next; first < count; first = next)
	{
		int part = PartitionOfId(DatumGetInt64(ids[first]));
		Relation rel;
		int deleted;

		for (next = first + 1; next < count; next++)
		{
			if (PartitionOfId(DatumGetInt64(ids[next])) != part)
				break;
		}
		rel = table_open(PartitionTable(schema, table, part), RowExclusiveLock);
		deleted = DeletesApart(rel) ? delete_one_by_one(rel, column, ids + first, next - first)
									: delete_at_once(rel, column, ids + first, next - first);
		if (deleted != next - first)
			elog(ERROR, "deleted %d rows of %s instead of %d", deleted,
				 RelationGetRelationName(rel), next - first);
		table_close(rel, NoLock);
	}
}
