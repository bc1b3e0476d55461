/*
 * audit_records.c
 *		acteon_audit_record and acteon_audit_records: the gateway's records in the form of
 *		its own interface.
 *
 * Programs that speak to the gateway look at a record before they replay it.  The HTTP
 * server answers them with what these functions return, whose members, order and form
 * are the gateway's.  A caller gets only what its grants cover: any of an admin, an
 * operator or a viewer.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "api/readable_audit.h"
#include "api/record_cursor.h"
#include "audit/audit_scan.h"
#include "audit/record_list.h"
#include "base/error_reason.h"
#include "base/json_text.h"
#include "base/message.h"
#include "base/table_access.h"
#include "query/query.h"

/* The arguments of acteon_audit_records behind the text filters. */
enum
{
	ARGUMENT_SIGNER_ID = NUM_TEXT_FILTERS,
	ARGUMENT_KID,
	ARGUMENT_FROM_TIME,
	ARGUMENT_TO_TIME,
	ARGUMENT_MAX_RECORDS,
	ARGUMENT_SKIP,
	ARGUMENT_CURSOR,
	NUM_LIST_ARGUMENTS
};

PG_FUNCTION_INFO_V1(acteon_audit_record);
PG_FUNCTION_INFO_V1(acteon_audit_records);

/*
 * Raise the error of an action that has no record.
 */
ACTEON_NORETURN static void
report_no_record(const char *action_id)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_RECORD),
					errmsg("no audit record found for action: %s",
						   ClipForMessage(action_id, strlen(action_id))),
					errhint("The gateway deletes records when they expire, and keeps none of "
							"actions that it never received.")));
}

/*
 * acteon_audit_record(action_id text) → json
 *
 * The record of an action: of several the one with the greatest dispatched_at, of an
 * intent and its outcome the outcome.  Raises no_data_found,
 * insufficient_privilege, undefined_table.
 */
Datum
acteon_audit_record(PG_FUNCTION_ARGS)
{
	const OptionalTime any = {false};
	StringInfoData json;
	AuditTable audit;
	AuditRecord record;
	char *action_id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("action_id must not be NULL")));
	action_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	initStringInfo(&json);
	OpenReadableAudit(&audit, fcinfo);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (!AuditFindAction(&audit, action_id, NULL, &any, &any, &record))
		report_no_record(action_id);
	if (!GrantsCoverRecord(audit.grants, GRANT_READ, &record))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_GRANT),
				 errmsg("no grant covers this audit record"),
				 errdetail("No admin, operator or viewer grant of role \"%s\" covers its tenant, "
						   "namespace, provider and action type.",
						   GetUserNameFromId(GetUserId(), false))));
	if (record.id == NULL ||
		!AppendRecordOf(&json, &audit, action_id, record.id, record.dispatched_at))
		report_no_record(action_id);
	SPI_finish();
	CloseAuditTable(&audit);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(json.data, json.len));
}

/*
 * A text argument, NULL for NULL.
 */
static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/*
 * Read the filters.  As in the gateway, an empty outcome is one that no record has.
 */
static void
read_filters(ReplayQuery *query, FunctionCallInfo fcinfo)
{
	static char *no_outcome[] = {""};
	bool is_empty;

	InitReplayQuery(query, true);
	for (TextFilter filter = 0; filter < NUM_TEXT_FILTERS; filter++)
		query->filters[filter] = text_argument(fcinfo, filter);
	query->from = ReadTimeArgument(fcinfo, ARGUMENT_FROM_TIME);
	query->to = ReadTimeArgument(fcinfo, ARGUMENT_TO_TIME);
	is_empty = query->filters[FILTER_OUTCOME] != NULL && query->filters[FILTER_OUTCOME][0] == '\0';
	if (is_empty)
		query->filters[FILTER_OUTCOME] = NULL;
	CheckReplayQuery(query);
	if (!is_empty)
		return;
	query->filters[FILTER_OUTCOME] = no_outcome[0];
	query->outcomes = no_outcome;
	query->outcome_count = 1;
}

/*
 * Read how many records to list, and how many to skip.
 */
static void
read_window(RecordList *list, FunctionCallInfo fcinfo)
{
	list->limit = PG_ARGISNULL(ARGUMENT_MAX_RECORDS) ? MAX_RECORDS_DEFAULT
													 : PG_GETARG_INT32(ARGUMENT_MAX_RECORDS);
	if (list->limit < 1 || list->limit > MAX_RECORDS_LIMIT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_records must be between 1 and %d", MAX_RECORDS_LIMIT),
						errhint("It is the number of records of a page; pass next_cursor as "
								"cursor for the next one.")));
	list->skip = PG_ARGISNULL(ARGUMENT_SKIP) ? 0 : PG_GETARG_INT32(ARGUMENT_SKIP);
	if (list->skip < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("skip must be at least 0"),
						errhint("It is the number of records that are left out first.")));
}

/*
 * Refuse a tenant that no grant covers, which would look as if it had no records.
 */
static void
check_tenant(Grants *grants, const char *tenant)
{
	if (tenant != NULL && !GrantsCoverTenant(grants, cstring_to_text(tenant)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_GRANT),
						errmsg("no grant covers tenant=%s", ClipForMessage(tenant, strlen(tenant))),
						errdetail("No admin, operator or viewer grant of role \"%s\" covers it.",
								  GetUserNameFromId(GetUserId(), false))));
}

/*
 * Make the answer of a list, with the number of all records if it was counted.
 */
static text *
make_page(const RecordList *list, const int64 *total)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"limit\":%d,", list->limit);
	if (list->has_more)
		appendStringInfo(&json, "\"next_cursor\":\"%s\",", MakeRecordCursor(&list->last));
	appendStringInfo(&json, "\"offset\":" INT64_FORMAT ",\"records\":[", list->skip);
	AppendBytes(&json, list->records->data, list->records->len);
	appendStringInfoChar(&json, ']');
	if (total != NULL)
		appendStringInfo(&json, ",\"total\":" INT64_FORMAT, *total);
	appendStringInfoChar(&json, '}');
	return cstring_to_text_with_len(json.data, json.len);
}

/*
 * acteon_audit_records(namespace, tenant, provider, action_type, outcome, verdict,
 * matched_rule, caller_id, chain_id, signer_id, kid text, from_time, to_time timestamptz,
 * max_records, skip integer, cursor text) → json
 *
 * A page of the records that match, the newest first.  Without a cursor they are counted,
 * too.  Raises insufficient_privilege, undefined_table, invalid_parameter_value.
 */
Datum
acteon_audit_records(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	char *cursor;
	ReplayQuery query;
	RecordList list = {.query = &query};
	AuditTable audit;
	int64 total;

	CheckArgumentCount(fcinfo, NUM_LIST_ARGUMENTS);
	read_filters(&query, fcinfo);
	list.signer_id = text_argument(fcinfo, ARGUMENT_SIGNER_ID);
	list.kid = text_argument(fcinfo, ARGUMENT_KID);
	read_window(&list, fcinfo);
	cursor = text_argument(fcinfo, ARGUMENT_CURSOR);
	list.records = makeStringInfo();
	OpenReadableAudit(&audit, fcinfo);
	check_tenant(audit.grants, query.filters[FILTER_TENANT]);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (cursor != NULL)
	{
		list.skip = 0;
		FindRecordCursor(&list.after, &audit, cursor);
	}
	else
		total = CountListed(&list, &audit);
	ListRecords(&list, &audit);
	SPI_finish();
	MemoryContextSwitchTo(context);
	CloseAuditTable(&audit);
	PG_RETURN_TEXT_P(make_page(&list, cursor != NULL ? NULL : &total));
}
