/*
 * audit_verify.c
 *		acteon_audit_verify: whether the gateway's records of a tenant are as it wrote them.
 *
 * What is checked, and what no check of a chain can show, is said in audit/audit_chain.c.
 * The chain of a tenant has the records of all its providers and action types, so a grant
 * that covers all of them is needed.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "api/readable_audit.h"
#include "audit/audit_chain.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/message.h"
#include "query/query.h"

/* The arguments. */
enum
{
	VERIFY_NAMESPACE,
	VERIFY_TENANT,
	VERIFY_FROM_TIME,
	VERIFY_TO_TIME,
	VERIFY_AFTER_SEQUENCE,
	VERIFY_AFTER_HASH,
	VERIFY_MAX_RECORDS,
	VERIFY_MAX_TIME,
	NUM_VERIFY_ARGUMENTS
};

/* The columns of the result. */
enum
{
	FINDING_NAME,
	FINDING_NUMBER,
	FINDING_RECORD_ID,
	FINDING_ACTION_ID,
	FINDING_DISPATCHED_AT,
	FINDING_RECORD_HASH,
	FINDING_RECORDS,
	FINDING_DETAIL,
	FINDING_BROKEN_AT,
	FINDING_FIRST_RECORD_ID,
	FINDING_UNCHAINED,
	NUM_FINDING_COLUMNS
};

static const char *const fault_names[NUM_CHAIN_FAULTS] = {
	[FAULT_BEGINNING] = "beginning",
	[FAULT_GAP] = "gap",
	[FAULT_END] = "end",
	[FAULT_WITNESS] = "witness",
	[FAULT_DUPLICATE] = "duplicate",
	[FAULT_NUMBER] = "number",
	[FAULT_LINK] = "link",
	[FAULT_CONTENT] = "content",
};

/* Names of the last row: the end was reached, or not. */
#define CHECKED_NAME "checked"
#define MORE_NAME "more"

/* What the result never shows, whatever it is. */
#define NOT_SHOWN \
	"Not shown by this: changes of columns that are not hashed (payload, metadata, details of " \
	"verdict and outcome, caller, rule, chain_id, attachments, signature, completed_at, " \
	"expires_at), records removed from the end, and records that were hashed anew, from one of " \
	"them to the last, by somebody who can write the table."

PG_FUNCTION_INFO_V1(acteon_audit_verify);

/*
 * Refuse a caller whose grants do not cover everything of a tenant in a namespace.
 */
static void
check_covers(Grants *grants, const ChainCheck *check)
{
	const text *any = cstring_to_text("*");
	const GrantTarget everything = {.tenant = check->tenant,
									.namespace = check->namespace,
									.provider = any,
									.action_type = any};
	char *tenant = text_to_cstring(check->tenant);

	if (GrantsEverything(grants) || GrantsCover(grants, GRANT_READ, &everything))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_GRANT),
			 errmsg("no grant covers all records of tenant=%s",
					ClipForMessage(tenant, strlen(tenant))),
			 errdetail("The chain has the records of all providers and action types. No admin, "
					   "operator or viewer grant of role \"%s\" covers them all in this namespace.",
					   GetUserNameFromId(GetUserId(), false))));
}

/*
 * Read a text that must be given.
 */
static text *
needed_text(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be NULL", name),
				 errhint("Each namespace and tenant has a chain of its own.")));
	return PG_GETARG_TEXT_PP(argument);
}

/*
 * Read where to begin and how many records to check.
 */
static void
read_window(ChainCheck *check, FunctionCallInfo fcinfo)
{
	check->has_known = !PG_ARGISNULL(VERIFY_AFTER_SEQUENCE);
	if (check->has_known)
		check->known = PG_GETARG_INT64(VERIFY_AFTER_SEQUENCE);
	if (check->known < 0 || check->known == PG_INT64_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after_sequence must be between 0 and " INT64_FORMAT, PG_INT64_MAX - 1),
				 errhint("It is the sequence_number of the last row of an earlier call.")));
	check->known_hash =
		PG_ARGISNULL(VERIFY_AFTER_HASH) ? NULL : PG_GETARG_TEXT_PP(VERIFY_AFTER_HASH);
	if (check->known_hash != NULL && !check->has_known)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("after_hash needs after_sequence"),
						errhint("It is the hash of the record with that number.")));
	check->most =
		PG_ARGISNULL(VERIFY_MAX_RECORDS) ? PG_INT64_MAX : PG_GETARG_INT64(VERIFY_MAX_RECORDS);
	if (check->most < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_records must be at least 1"),
				 errhint("Leave it out to check all records.")));
}

/*
 * Read how long to check, as the time at which that is over.
 */
static OptionalTime
read_end(FunctionCallInfo fcinfo)
{
	OptionalTime until = {.given = !PG_ARGISNULL(VERIFY_MAX_TIME)};
	Datum now = TimestampTzGetDatum(GetCurrentTimestamp());

	if (!until.given)
		return until;
	until.time = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, now, PG_GETARG_DATUM(VERIFY_MAX_TIME)));
	if (until.time < DatumGetTimestampTz(now))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_time must not be negative"),
				 errhint("Leave it out to check all records.")));
	return until;
}

/*
 * Return a row; texts may be NULL.  The last one also says what the check found out
 * about all of it, which is NULL for others.
 */
static void
put_row(ReturnSetInfo *result, const char *name, const ChainFinding *finding,
		const ChainCheck *check)
{
	Datum values[NUM_FINDING_COLUMNS] = {0};
	bool nulls[NUM_FINDING_COLUMNS] = {0};

	values[FINDING_NAME] = CStringGetTextDatum(name);
	values[FINDING_NUMBER] = Int64GetDatum(finding->number);
	nulls[FINDING_NUMBER] = !finding->has_number;
	values[FINDING_RECORD_ID] = PointerGetDatum(finding->id);
	nulls[FINDING_RECORD_ID] = finding->id == NULL;
	values[FINDING_ACTION_ID] = PointerGetDatum(finding->action_id);
	nulls[FINDING_ACTION_ID] = finding->action_id == NULL;
	values[FINDING_DISPATCHED_AT] = TimestampTzGetDatum(finding->dispatched_at.time);
	nulls[FINDING_DISPATCHED_AT] = !finding->dispatched_at.given;
	values[FINDING_RECORD_HASH] = PointerGetDatum(finding->record_hash);
	nulls[FINDING_RECORD_HASH] = finding->record_hash == NULL;
	values[FINDING_RECORDS] = Int64GetDatum(finding->records);
	values[FINDING_DETAIL] = CStringGetTextDatum(finding->detail);
	values[FINDING_BROKEN_AT] = PointerGetDatum(finding->broken_at);
	nulls[FINDING_BROKEN_AT] = finding->broken_at == NULL;
	values[FINDING_FIRST_RECORD_ID] = PointerGetDatum(check == NULL ? NULL : check->first_id);
	nulls[FINDING_FIRST_RECORD_ID] = check == NULL || check->first_id == NULL;
	values[FINDING_UNCHAINED] = Int64GetDatum(check == NULL ? 0 : check->unchained);
	nulls[FINDING_UNCHAINED] = check == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Return what is wrong; see audit_chain.h.
 */
static void
report_finding(void *arg, const ChainFinding *finding)
{
	put_row(arg, fault_names[finding->fault], finding, NULL);
}

/*
 * Append a number of things.
 */
static void
append_count(StringInfo text, int64 count, const char *one, const char *many)
{
	appendStringInfo(text, INT64_FORMAT " %s", count, count == 1 ? one : many);
}

/*
 * Say what was checked, what came of it, and what that does not show.
 */
static char *
describe(const ChainCheck *check)
{
	StringInfoData text;

	initStringInfo(&text);
	append_count(&text, check->checked, "record", "records");
	if (check->checked > 0)
		appendStringInfo(&text, ", sequence_number " INT64_FORMAT " to " INT64_FORMAT, check->first,
						 check->last);
	if (check->faults > 0)
	{
		appendStringInfoString(&text, ": ");
		append_count(&text, check->faults, "finding", "findings");
	}
	else if (check->checked > 0)
		appendStringInfoString(&text, ": each record_hash is that of the hashed columns, and each "
									  "previous_hash is that of the record before");
	appendStringInfoString(&text, ". ");
	if (check->unchained > 0)
	{
		if (check->has_more_unchained)
			appendStringInfoString(&text, "At least ");
		append_count(&text, check->unchained, "record", "records");
		appendStringInfoString(&text, " of the tenant without a hash. ");
	}
	if (check->leaves_out)
		appendStringInfoString(&text, "Not all with a sequence_number below 0 were looked at. ");
	appendStringInfoString(&text, NOT_SHOWN);
	return text.data;
}

/*
 * Return the last row: up to where the chain was checked.
 */
static void
put_summary(ReturnSetInfo *result, const ChainCheck *check)
{
	ChainFinding summary = {.records = check->checked,
							.has_number = check->has_last,
							.number = check->last,
							.id = check->last_id,
							.record_hash = check->last_hash,
							.dispatched_at = check->last_time,
							.detail = describe(check)};

	put_row(result, check->is_complete ? CHECKED_NAME : MORE_NAME, &summary, check);
}

/*
 * acteon_audit_verify(namespace, tenant text, from_time, to_time timestamptz,
 * after_sequence bigint, after_hash text, max_records bigint, max_time interval) → table
 * (finding text, sequence_number bigint, record_id, action_id text,
 * dispatched_at timestamptz, record_hash text, records bigint, detail, broken_at,
 * first_record_id text, unchained bigint)
 *
 * A row for each fault of the chain of a tenant, and a last one that says what was checked.
 * Raises insufficient_privilege, undefined_table, undefined_column,
 * invalid_parameter_value.
 */
Datum
acteon_audit_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	ChainCheck check = {.report = report_finding, .arg = result};
	AuditTable audit;

	CheckArgumentCount(fcinfo, NUM_VERIFY_ARGUMENTS);
	InitMaterializedSRF(fcinfo, 0);
	check.namespace = needed_text(fcinfo, VERIFY_NAMESPACE, "namespace");
	check.tenant = needed_text(fcinfo, VERIFY_TENANT, "tenant");
	check.from = ReadTimeArgument(fcinfo, VERIFY_FROM_TIME);
	check.to = ReadTimeArgument(fcinfo, VERIFY_TO_TIME);
	read_window(&check, fcinfo);
	check.until = read_end(fcinfo);
	OpenReadableAudit(&audit, fcinfo);
	check_covers(audit.grants, &check);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	CheckChain(&check, &audit);
	SPI_finish();
	MemoryContextSwitchTo(context);
	CloseAuditTable(&audit);
	put_summary(result, &check);
	return (Datum) 0;
}
