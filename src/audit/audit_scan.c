/*
 * audit_scan.c
 *		Which records are picked, and what is in them.
 *
 * A record is a row of the gateway's audit table.  The table is read through
 * SPI, as its owner, with one statement built from the filters that were given
 * (audit_sql.c), page by page, each from where the one before has ended.
 * audit_table.c finds and checks the table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_scan.h"
#include "audit/audit_sql.h"
#include "audit/error_filter.h"
#include "audit/filter_sql.h"
#include "audit/find_record.h"
#include "audit/others.h"
#include "audit/time_steps.h"
#include "base/damaged.h"
#include "base/identity.h"
#include "base/kept_plan.h"
#include "base/text.h"

/* Ids to be left out that a statement does not name, as each page would plan for them. */
#define LONG_LIST 1000

/* So many times the records that a search finds can be read beforehand. */
#define FEW_OTHERS 4

/*
 * A text column of a row; notes the column as missing if it is NULL.
 */
static text *
text_column(AuditRecord *record, const Datum *values, const bool *nulls, RecordColumn column)
{
	if (nulls[column])
	{
		record->missing = RecordColumnNames[column];
		return NULL;
	}
	return DatumGetTextPP(values[column]);
}

/*
 * Whether a jsonb is an array with elements.  Looks at its header only, so a
 * toasted one is not fetched as a whole.
 */
static bool
is_filled_array(Datum json)
{
	struct varlena *start = (struct varlena *) DatumGetPointer(json);
	uint32 header;

	if (VARATT_IS_EXTERNAL(start) || VARATT_IS_COMPRESSED(start))
		start = PG_DETOAST_DATUM_SLICE(json, 0, sizeof(header));
	memcpy(&header, VARDATA_ANY(start), sizeof(header));
	return (header & JB_FARRAY) != 0 && (header & JB_FSCALAR) == 0 && (header & JB_CMASK) > 0;
}

/* A row that is being taken apart. */
typedef struct RowReader
{
	AuditRecord *record;
	Datum values[NUM_ROW_COLUMNS];
	bool nulls[NUM_ROW_COLUMNS];
} RowReader;

/*
 * Set the fields of a record to the columns of its row.
 */
static void
read_columns(void *argument)
{
	RowReader *row = argument;
	AuditRecord *record = row->record;
	const Datum *values = row->values;
	const bool *nulls = row->nulls;

	record->missing = NULL;
	record->id = text_column(record, values, nulls, COL_ID);
	record->action_id = text_column(record, values, nulls, COL_ACTION_ID);
	record->namespace = text_column(record, values, nulls, COL_NAMESPACE);
	record->tenant = text_column(record, values, nulls, COL_TENANT);
	record->provider = text_column(record, values, nulls, COL_PROVIDER);
	record->action_type = text_column(record, values, nulls, COL_ACTION_TYPE);
	record->outcome = text_column(record, values, nulls, COL_OUTCOME);
	record->is_intent = record->outcome != NULL && TextIs(record->outcome, INTENT_OUTCOME);
	record->dispatched_at =
		nulls[COL_DISPATCHED_AT] ? 0 : DatumGetTimestampTz(values[COL_DISPATCHED_AT]);
	record->payload = values[COL_PAYLOAD];
	record->has_payload = !nulls[COL_PAYLOAD];
	record->metadata = values[COL_METADATA];
	record->has_metadata = !nulls[COL_METADATA];
	record->details = values[COL_DETAILS];
	record->has_details = !nulls[COL_DETAILS];
	record->has_duration = !nulls[COL_DURATION];
	record->duration_ms = nulls[COL_DURATION] ? 0 : DatumGetInt64(values[COL_DURATION]);
	record->is_of_chain = !nulls[COL_CHAIN_ID];
	record->signer_id = nulls[COL_SIGNER_ID] ? NULL : DatumGetTextPP(values[COL_SIGNER_ID]);
	record->had_attachments = !nulls[COL_ATTACHMENTS] && is_filled_array(values[COL_ATTACHMENTS]);
	record->may_have_had = record->is_intent && !nulls[COL_ATTACHMENTS];
	record->is_notification = false;
}

/*
 * Whether a column of a row that is read at once lies elsewhere, or is compressed.
 * Payload and metadata are left as they are.
 */
static bool
is_apart(const RowReader *row, RecordColumn column)
{
	const struct varlena *value = (const struct varlena *) DatumGetPointer(row->values[column]);

	switch (column)
	{
		case COL_DISPATCHED_AT:
		case COL_DURATION:
		case COL_PAYLOAD:
		case COL_METADATA:
			return false;
		default:
			return !row->nulls[column] &&
				   (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value));
	}
}

/*
 * Fetch what lies elsewhere, and read the columns.
 */
static void
fetch_columns(void *argument)
{
	RowReader *row = argument;

	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
	{
		if (is_apart(row, column))
			row->values[column] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(row->values[column]));
	}
	read_columns(row);
}

/*
 * Read the columns of a row, in the current memory context.  Damaged columns
 * count as NULL, and the record notes the damage.
 */
static void
read_row(RowReader *row)
{
	AuditRecord *record = row->record;
	bool apart = false;

	record->damage = NULL;
	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
		apart |= is_apart(row, column);
	if (!apart)
	{
		read_columns(row);
		return;
	}
	record->damage = RunGuarded(fetch_columns, row);
	if (record->damage == NULL)
		return;
	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
		row->nulls[column] |= is_apart(row, column);
	read_columns(row);
	if (record->id == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the id of an audit record cannot be read: %s", record->damage)));
}

/*
 * Read a row that SelectRecords has selected.
 */
static void
read_record(AuditRecord *record, HeapTuple tuple, TupleDesc desc)
{
	RowReader row = {.record = record};

	heap_deform_tuple(tuple, desc, row.values, row.nulls);
	read_row(&row);
}

/*
 * Read a row of the table itself, or of a partition.
 */
static void
read_table_row(AuditRecord *record, const ActionSearch *search)
{
	RowReader row = {.record = record};

	memcpy(row.values, search->values, sizeof(search->values));
	memcpy(row.nulls, search->nulls, sizeof(search->nulls));
	read_row(&row);
}

/*
 * A copy of a text of a record, or NULL.
 */
static text *
copy_text(const text *value)
{
	return value == NULL ? NULL
						 : (text *) DatumGetPointer(datumCopy(PointerGetDatum(value), false, -1));
}

/*
 * Copy a record into the current memory context.  Toasted values stay toasted:
 * they are small until they are needed.
 */
void
CopyAuditRecord(AuditRecord *copy, const AuditRecord *record)
{
	*copy = *record;
	copy->id = copy_text(record->id);
	copy->action_id = copy_text(record->action_id);
	copy->namespace = copy_text(record->namespace);
	copy->tenant = copy_text(record->tenant);
	copy->provider = copy_text(record->provider);
	copy->action_type = copy_text(record->action_type);
	copy->outcome = copy_text(record->outcome);
	if (record->has_payload)
		copy->payload = datumCopy(record->payload, false, -1);
	if (record->has_metadata)
		copy->metadata = datumCopy(record->metadata, false, -1);
	copy->has_details = false; /* what they tell has been read */
	copy->damage = NULL;       /* so has this */
}

/*
 * Build the statement that finds the record of action $1, with outcome $2 if that is
 * not NULL, perhaps between two times.
 */
static void
find_action_sql(Statement *st, const AuditTable *table, const char *action_id, const char *outcome)
{
	SelectRecords(st, table, NULL);
	AddRecords(st, table);
	AddEqual(st, table, "a", RecordColumnNames[COL_ACTION_ID], "$%d",
			 AddParameter(st, TEXTOID, CStringGetTextDatum(action_id)));
	if (outcome != NULL)
		AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "$%d",
				 AddParameter(st, TEXTOID, CStringGetTextDatum(outcome)));
}

/*
 * Run the statement that finds the record of an action.  Returns whether there is
 * one.
 */
static bool
run_find_action(const AuditTable *table, Statement *st, KeptPlan *kept, int cursor_options,
				AuditRecord *record)
{
	Identity caller;
	SPIPlanPtr plan;

	SwitchIdentity(&caller, table->owner);
	plan = KeepPlan(kept, st->sql.data, st->nargs, st->types, cursor_options);
	if (SPI_execute_plan(plan, st->values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	if (SPI_processed == 0)
		return false;
	read_record(record, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	return true;
}

/*
 * Find the record of an action between two times, both inclusive: the one with the
 * greatest dispatched_at, an outcome record before an intent record of the same
 * time.  If outcome is not NULL, only a record with that counts.  Returns false if
 * there is none.  A table that is partitioned by time is searched from its newest
 * partitions on, and older ones are neither read nor locked.  Needs an SPI
 * connection; the record lives as long as that.
 */
bool
AuditFindAction(const AuditTable *table, const char *action_id, const char *outcome,
				const OptionalTime *from, const OptionalTime *to, AuditRecord *record)
{
	/* Single replays ask the same statements again and again, of the one audit table. */
	static KeptPlan kept;
	static KeptPlan kept_between;
	static KeptPlan kept_rest;
	bool by_time =
		from->given || to->given || table->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	const char *newest_first =
		psprintf(" ORDER BY a.dispatched_at DESC NULLS LAST, (%s), a.id" C_ORDER
				 " DESC NULLS LAST LIMIT 1",
				 OutcomeTest(table, "a", INTENT_OUTCOME));
	Statement st;
	TimeSteps steps;
	int from_parameter, to_parameter;
	TimestampTz step_from, step_to;
	ActionSearch search = {.action_id = CStringGetTextDatum(action_id),
						   .outcome = outcome,
						   .at_any_time = !by_time,
						   .from = from->given ? from->time : DT_NOBEGIN,
						   .to = to->given ? to->time : DT_NOEND};
	bool found;

	if (FindRecordDirectly(table, &search))
	{
		if (OidIsValid(search.found_in))
			read_table_row(record, &search);
		return OidIsValid(search.found_in);
	}
	find_action_sql(&st, table, action_id, outcome);
	if (!by_time)
	{
		appendStringInfoString(&st.sql, newest_first);
		return run_find_action(table, &st, &kept, 0, record);
	}
	from_parameter = AddParameter(&st, TIMESTAMPTZOID, 0);
	to_parameter = AddParameter(&st, TIMESTAMPTZOID, 0);
	appendStringInfo(&st.sql, " AND a.dispatched_at" GE "$%d AND a.dispatched_at" LE "$%d%s",
					 from_parameter, to_parameter, newest_first);
	BeginTimeSteps(&steps, table, from, to);
	while (NextTimeStep(&steps, &step_from, &step_to))
	{
		CHECK_FOR_INTERRUPTS();
		st.values[from_parameter - 1] = TimestampTzGetDatum(step_from);
		st.values[to_parameter - 1] = TimestampTzGetDatum(step_to);
		/* Only a plan for these times leaves out the other partitions. */
		found = steps.is_rest
					? run_find_action(table, &st, &kept_rest, CURSOR_OPT_GENERIC_PLAN, record)
					: run_find_action(table, &st, &kept_between, CURSOR_OPT_CUSTOM_PLAN, record);
		if (found)
			return true;
	}
	return false;
}

/*
 * Open the cursor of a search whose statement is complete.
 */
static void
open_search(AuditScan *scan, Statement *st, int cursor_options)
{
	scan->portal = SPI_cursor_open_with_args(NULL, st->sql.data, st->nargs, st->types, st->values,
											 NULL, true, cursor_options);
}

/*
 * Begin a search; what all of them share.
 */
static void
init_scan(AuditScan *scan, const AuditTable *table, const ReplayQuery *query)
{
	memset(scan, 0, sizeof(*scan));
	scan->table = table;
	scan->query = query;
	scan->next_fetch = MAX_RECORDS_LIMIT;
	scan->others_apart = DependsOnOthers(query) && AuditTableIsRemote(table);
}

/*
 * Open the cursor of the next step of a search in the query's order.  Returns false if
 * there is none.
 */
static bool
open_in_order(AuditScan *scan)
{
	CandidateUse use = {.in_order = true,
						.alone = scan->others_apart,
						.left_out_apart = scan->query->exclude_ids.count > LONG_LIST};
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;

	if (!NextQueryStep(&scan->steps, scan->query, &use.first, &use.last))
		return false;
	SelectRecords(&st, scan->table, scan->query);
	AddCandidates(&st, scan->table, scan->query, &use);
	AddOrder(&st, scan->table, scan->query);
	if (scan->most < PG_INT64_MAX && !scan->others_apart && !use.left_out_apart &&
		!SearchesContents(scan->query))
		appendStringInfo(&st.sql, " LIMIT " INT64_FORMAT, scan->most + 1 + scan->passed.alike);
	SwitchIdentity(&caller, scan->table->owner);
	GuidePlanner(scan->table, scan->query);
	open_search(scan, &st, CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Begin a search for the records that match a query, in the query's order.  No
 * more than the given number of them will be read: if no index provides the
 * order, only that many are sorted, instead of all that match.  A call that searches
 * page by page passes the same keys each time, others pass NULL.  Needs an SPI
 * connection.
 */
void
AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query, int64 most,
			   KeysAhead *ahead)
{
	init_scan(scan, table, query);
	scan->ahead = ahead;
	/* One more than is wanted tells whether there are more. */
	scan->next_fetch = MAX_RECORDS_LIMIT + 1;
	if (query->is_limited)
		scan->next_fetch = Min(scan->next_fetch, query->max_records + (long) 1);
	scan->most = most;
	scan->in_order = true;
	scan->checks_picked = PicksActions(query);
	if (query->cursor_text != NULL && !HasUniquePlaces(table))
		scan->passed = query->cursor;
	if (UseKeysAhead(ahead, table, query))
		return;
	BeginQuerySteps(&scan->steps, table, query);
	scan->exhausted = !open_in_order(scan);
}

/*
 * Begin a search for those records that match a query and are of certain actions,
 * in no order: by action id, for which every version of the gateway makes an index.
 * Needs an SPI connection.
 */
void
AuditScanBeginAmong(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
					ArrayType *action_ids)
{
	CandidateUse use = {.in_order = false, .among = action_ids};
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;

	init_scan(scan, table, query);
	scan->checks_picked = PicksActions(query);
	use.alone = scan->others_apart;
	use.picked_apart = true;
	SelectRecords(&st, table, query);
	AddCandidates(&st, table, query, &use);
	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("jit", "off");
	open_search(scan, &st, CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
}

/*
 * Open the cursor of a search that reads all it finds, in no order, as the planner
 * likes best.
 */
static void
open_unordered(AuditScan *scan, Statement *st)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	SwitchIdentity(&caller, scan->table->owner);
	SetLocally("jit", "off");
	open_search(scan, st, 0);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
}

/*
 * Open the cursor of a search for all records that match a query.
 */
static void
open_outcomes(AuditScan *scan, const CandidateUse *use)
{
	Statement st;

	SelectOutcomes(&st, scan->table, scan->query);
	AddCandidates(&st, scan->table, scan->query, use);
	open_unordered(scan, &st);
}

/*
 * How many records the planner expects a search to find.
 */
static double
estimate(const AuditScan *scan)
{
	return PortalGetPrimaryStmt(scan->portal)->planTree->plan_rows;
}

/*
 * Begin a search for all records that match a query, in no order.  They have no
 * payload, metadata and attachments.  Needs an SPI connection.
 *
 * Of records that were lost, others of their actions are looked for apart if not much
 * more than these is in the table.
 */
void
AuditScanBeginOutcomes(AuditScan *scan, const AuditTable *table, const ReplayQuery *query)
{
	CandidateUse use = {.in_order = false};

	init_scan(scan, table, query);
	use.alone = scan->others_apart;
	if (query->lost && !scan->others_apart && HasIndexOn(table, COL_ACTION_ID))
	{
		use.alone = true;
		open_outcomes(scan, &use);
		scan->repeated = FindRepeatedActions(table, query, FEW_OTHERS * estimate(scan));
		if (scan->repeated != NULL)
			return;
		SPI_cursor_close(scan->portal);
		use.alone = false;
	}
	open_outcomes(scan, &use);
}

/*
 * Begin a search for the records that match a query's filters but are no candidates, in
 * no order and without the same.  Returns false if there are none.  Needs an SPI
 * connection.
 */
bool
AuditScanBeginLeftOut(AuditScan *scan, const AuditTable *table, const ReplayQuery *query,
					  LeftOut which)
{
	Statement st;

	init_scan(scan, table, query);
	scan->others_apart = false;
	SelectOutcomes(&st, table, query);
	if (!AddLeftOut(&st, table, query, which))
		return false;
	open_unordered(scan, &st);
	return true;
}

/*
 * Run the statement that reads the records with these keys, in the query's order.
 */
static void
run_named(AuditScan *scan, const NamedRecords *named)
{
	CandidateUse use = {.alone = scan->others_apart, .picked_apart = true, .named = named};
	Identity caller;
	Statement st;

	SelectRecords(&st, scan->table, scan->query);
	AddCandidates(&st, scan->table, scan->query, &use);
	AddOrder(&st, scan->table, scan->query);
	SwitchIdentity(&caller, scan->table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("jit", "off");
	if (SPI_execute_with_args(st.sql.data, st.nargs, st.types, st.values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
}

/*
 * Take those records out of the fetched rows that are not of the actions that were picked
 * by hand, in a search that looks for that itself.  A planner looks at each element of a
 * list: for a hundred thousand of them that takes longer than to read a page.
 */
static void
drop_unpicked(const AuditScan *scan)
{
	uint64 kept = 0;

	if (!scan->checks_picked)
		return;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		bool isnull;
		Datum id = SPI_getbinval(tuple, SPI_tuptable->tupdesc, COL_ACTION_ID + 1, &isnull);

		if (isnull ? !scan->query->action_ids.given : IsPicked(scan->query, DatumGetTextPP(id)))
			SPI_tuptable->vals[kept++] = tuple;
	}
	SPI_processed = kept;
}

/*
 * Go on to the next step of a search, in which the present one has no more rows; without
 * one the search is at its end.  Leaves SPI_tuptable and SPI_processed as they are.
 */
static void
end_step(AuditScan *scan)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 count = SPI_processed;
	Portal ended = scan->portal;

	scan->exhausted = !scan->in_order || !open_in_order(scan);
	if (!scan->exhausted)
		SPI_cursor_close(ended);
	SPI_tuptable = rows;
	SPI_processed = count;
}

/*
 * Fetch the next rows of the search, into SPI_tuptable, and note whether there may be
 * more.
 */
static void
fetch_next(AuditScan *scan)
{
	NamedRecords named;

	if (scan->portal != NULL)
	{
		Identity caller;

		SwitchIdentity(&caller, scan->table->owner);
		SPI_cursor_fetch(scan->portal, true, scan->next_fetch);
		RestoreIdentity(&caller);
		if (SPI_processed < scan->next_fetch)
			end_step(scan);
		drop_unpicked(scan);
		return;
	}
	scan->exhausted =
		!TakeKeysAhead(scan->ahead, scan->table, scan->query, scan->next_fetch, &named);
	if (scan->exhausted)
		return;
	run_named(scan, &named);
	drop_unpicked(scan);
}

/*
 * Whether a row that was fetched is left out if its error is, too.
 */
static bool
is_excluded_else(const AuditScan *scan, HeapTuple row)
{
	bool isnull;

	return ExcludesError(scan->query) &&
		   DatumGetBool(SPI_getbinval(row, scan->rows->tupdesc, NUM_ROW_COLUMNS, &isnull));
}

/*
 * Take those records out of the rows that were fetched whose error is not one that is
 * asked for, or that is left out; the others keep their order.
 */
static void
drop_other_errors(AuditScan *scan)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay errors", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint64 kept = 0;

	for (uint64 i = 0; i < scan->count; i++)
	{
		AuditRecord record;

		read_record(&record, scan->rows->vals[i], scan->rows->tupdesc);
		if (MatchesError(&record, scan->query, is_excluded_else(scan, scan->rows->vals[i])))
			scan->rows->vals[kept++] = scan->rows->vals[i];
	}
	scan->count = kept;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Whether a query selects records by what is in them, their payload or their error, and not
 * only by what they are.  How many records it finds would tell, question by question, what
 * is in those that the caller may not read: a search finds only what its grants cover.
 */
bool
SearchesContents(const ReplayQuery *query)
{
	return ChecksErrors(query) || SearchesPayloads(query);
}

/*
 * Take those records out of the rows that were fetched that no grant covers.
 */
static void
drop_not_covered(AuditScan *scan)
{
	MemoryContext context;
	MemoryContext old;
	uint64 kept = 0;

	if (scan->table->grants == NULL)
		return;
	context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay grants", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < scan->count; i++)
	{
		AuditRecord record;

		read_record(&record, scan->rows->vals[i], scan->rows->tupdesc);
		if (GrantsCoverRecord(scan->table->grants, GRANT_READ, &record))
			scan->rows->vals[kept++] = scan->rows->vals[i];
	}
	scan->count = kept;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Take those records out of the rows that were fetched that others of their actions make
 * no candidates.
 */
static void
drop_known_otherwise(AuditScan *scan)
{
	uint64 count = scan->count;
	uint64 suspects = count;
	uint64 kept;

	if (scan->repeated != NULL)
		suspects = PutRepeatedFirst(scan->repeated, scan->rows, count);
	kept = DropKnownOtherwise(scan->table, scan->query, scan->rows, suspects);
	memmove(&scan->rows->vals[kept], &scan->rows->vals[suspects],
			(count - suspects) * sizeof(HeapTuple));
	scan->count = kept + count - suspects;
	scan->dropped += suspects - kept;
}

/*
 * Fetch rows, unless some are left from the fetch before.  Later fetches grow:
 * they are needed where records are passed over, perhaps a great many.
 */
static void
fetch_rows(AuditScan *scan)
{
	MemoryContext old = CurrentMemoryContext;

	while (scan->taken == scan->count && !scan->exhausted)
	{
		CHECK_FOR_INTERRUPTS();
		if (scan->rows != NULL)
			SPI_freetuptable(scan->rows);
		scan->rows = NULL;
		scan->count = scan->taken = 0;
		fetch_next(scan);
		MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
		if (scan->exhausted && scan->portal == NULL)
			return;
		scan->rows = SPI_tuptable;
		scan->count = SPI_processed;
		if (SearchesContents(scan->query))
			drop_not_covered(scan);
		if (scan->others_apart || scan->repeated != NULL)
			drop_known_otherwise(scan);
		if (ChecksErrors(scan->query))
			drop_other_errors(scan);
		scan->next_fetch = Min(scan->next_fetch * 2, MAX_RECORDS_LIMIT);
	}
}

/*
 * Pass over the records that an earlier call has looked at and that the statement
 * finds again, as several have the time and the id of the cursor.  They come first.
 */
static void
pass_over(AuditScan *scan)
{
	while (scan->passed.alike > 0 && scan->taken < scan->count)
	{
		AuditRecord record;

		read_record(&record, scan->rows->vals[scan->taken], scan->rows->tupdesc);
		if (record.dispatched_at == scan->passed.dispatched_at &&
			TextIs(record.id, scan->passed.id))
		{
			scan->taken++;
			scan->passed.alike--;
			fetch_rows(scan);
		}
		else
			scan->passed.alike = 0;
	}
}

/*
 * Take the next records of a search, at most as many as wanted; fewer do not
 * mean that there are no more, none do.  They live until the next call; the
 * array is made in the current memory context.
 */
int
AuditScanTake(AuditScan *scan, int want, AuditRecord **records)
{
	int count;

	fetch_rows(scan);
	pass_over(scan);
	count = (int) Min(scan->count - scan->taken, want);
	*records = palloc(Max(count, 1) * sizeof(AuditRecord));
	for (int i = 0; i < count; i++)
	{
		read_record(&(*records)[i], scan->rows->vals[scan->taken++], scan->rows->tupdesc);
		NotePageTime(scan->ahead, (*records)[i].dispatched_at);
	}
	return count;
}

/*
 * Give the last of the records back that were taken, to be taken again.
 */
void
AuditScanGiveBack(AuditScan *scan, int count)
{
	Assert(count <= scan->taken);
	scan->taken -= count;
}

/*
 * Whether there are records that have not been taken.  Ends the life of those
 * that have.
 */
bool
AuditScanHasMore(AuditScan *scan)
{
	fetch_rows(scan);
	pass_over(scan);
	return scan->taken < scan->count;
}

/*
 * End a search.
 */
void
AuditScanEnd(AuditScan *scan)
{
	if (scan->rows != NULL)
		SPI_freetuptable(scan->rows);
	if (scan->portal != NULL)
		SPI_cursor_close(scan->portal);
}
