/*
 * audit_scan.c
 *		Which records are picked, and what is in them.
 *
 * A record is a row of the gateway's audit table.  The table is read through
 * SPI, as its owner, with one statement built from the filters that were given
 * (audit_sql.c).  audit_table.c finds and checks the table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/action_index.h"
#include "audit/audit_scan.h"
#include "audit/audit_sql.h"
#include "base/guard.h"
#include "base/identity.h"
#include "base/kept_plan.h"
#include "base/text.h"

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
	Datum values[NUM_RECORD_COLUMNS];
	bool nulls[NUM_RECORD_COLUMNS];
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
	record->had_attachments = !nulls[COL_ATTACHMENTS] && is_filled_array(values[COL_ATTACHMENTS]);
	record->may_have_had = record->is_intent && !nulls[COL_ATTACHMENTS];
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
 * Read a row of the table itself.
 */
static void
read_table_row(AuditRecord *record, const AuditTable *table, HeapTuple tuple)
{
	RowReader row = {.record = record};
	TupleDesc desc = RelationGetDescr(table->rel);
	Datum *values = palloc(desc->natts * sizeof(Datum));
	bool *nulls = palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(tuple, desc, values, nulls);
	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
	{
		AttrNumber place = table->columns[column];

		row.nulls[column] = place == InvalidAttrNumber || nulls[place - 1];
		row.values[column] = row.nulls[column] ? (Datum) 0 : values[place - 1];
	}
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
 * Find the record of an action, or the one with an outcome, if that is not NULL:
 * the one with the greatest dispatched_at, an outcome record before an intent
 * record of the same time.  Returns false if there is none.  Needs an SPI connection; the record lives as long as that.
 */
bool
AuditFindAction(const AuditTable *table, const char *action_id, const char *outcome,
				AuditRecord *record)
{
	/* Single replays ask the same statement again and again, of the one audit table. */
	static KeptPlan kept;
	Statement st;
	Identity caller;
	SPIPlanPtr plan;
	HeapTuple tuple;
	bool found;

	if (FindByActionIndex(table, action_id, outcome, &tuple))
	{
		if (tuple != NULL)
			read_table_row(record, table, tuple);
		return tuple != NULL;
	}
	SelectRecords(&st, table);
	AddRecords(&st, table);
	AddEqual(&st, table, "a", RecordColumnNames[COL_ACTION_ID], "$%d",
			 AddParameter(&st, TEXTOID, CStringGetTextDatum(action_id)));
	if (outcome != NULL)
		AddEqual(&st, table, "a", RecordColumnNames[COL_OUTCOME], "$%d",
				 AddParameter(&st, TEXTOID, CStringGetTextDatum(outcome)));
	appendStringInfo(&st.sql,
					 " ORDER BY a.dispatched_at DESC NULLS LAST, (%s), a.id" C_ORDER
					 " DESC NULLS LAST LIMIT 1",
					 OutcomeTest(table, "a", INTENT_OUTCOME));

	SwitchIdentity(&caller, table->owner);
	plan = KeepPlan(&kept, st.sql.data, st.nargs, st.types, 0);
	if (SPI_execute_plan(plan, st.values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);

	found = SPI_processed > 0;
	if (found)
		read_record(record, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	return found;
}

/*
 * Open the cursor of a search whose statement is complete.
 */
static void
open_search(AuditScan *scan, const AuditTable *table, Statement *st)
{
	scan->table = table;
	scan->portal = SPI_cursor_open_with_args(NULL, st->sql.data, st->nargs, st->types, st->values,
											 NULL, true, CURSOR_OPT_FAST_PLAN);
}

/*
 * Begin a search for the records that match a query, in the query's order.  No
 * more than the given number of them will be read: if no index provides the
 * order, only that many are sorted, instead of all that match.  Needs an SPI
 * connection.
 */
void
AuditScanBegin(AuditScan *scan, const AuditTable *table, const ReplayQuery *query, int64 most)
{
	static const CandidateUse use = {.in_order = true};
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;
	const char *direction = query->newest_first ? "DESC" : "ASC";

	memset(scan, 0, sizeof(*scan));
	SelectRecords(&st, table);
	AddCandidates(&st, table, query, &use);
	appendStringInfo(&st.sql, " ORDER BY a.dispatched_at %s, a.id" C_ORDER " %s", direction,
					 direction);
	if (!HasUniquePlaces(table))
	{
		appendStringInfoString(&st.sql, ", a.action_id" C_ORDER ", a.namespace" C_ORDER
										", a.tenant" C_ORDER);
		if (query->cursor_text != NULL)
			scan->passed = query->cursor;
	}
	if (most < PG_INT64_MAX)
		appendStringInfo(&st.sql, " LIMIT " INT64_FORMAT, most + 1 + scan->passed.alike);

	/* One more than is wanted tells whether there are more. */
	scan->next_fetch = MAX_RECORDS_LIMIT + 1;
	if (query->is_limited)
		scan->next_fetch = Min(scan->next_fetch, query->max_records + (long) 1);
	SwitchIdentity(&caller, table->owner);
	GuidePlanner(table, query);
	open_search(scan, table, &st);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
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

	SelectRecords(&st, table);
	AddCandidates(&st, table, query, &use);
	memset(scan, 0, sizeof(*scan));
	scan->next_fetch = MAX_RECORDS_LIMIT;
	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("jit", "off");
	open_search(scan, table, &st);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old);
}

/*
 * Fetch rows, unless some are left from the fetch before.  Later fetches grow:
 * they are needed where records are passed over, perhaps a great many.
 */
static void
fetch_rows(AuditScan *scan)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	if (scan->taken < scan->count || scan->exhausted)
		return;
	if (scan->rows != NULL)
		SPI_freetuptable(scan->rows);
	SwitchIdentity(&caller, scan->table->owner);
	SPI_cursor_fetch(scan->portal, true, scan->next_fetch);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	scan->rows = SPI_tuptable;
	scan->count = SPI_processed;
	scan->taken = 0;
	scan->exhausted = scan->count < scan->next_fetch;
	scan->next_fetch = Min(scan->next_fetch * 2, MAX_RECORDS_LIMIT);
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
		read_record(&(*records)[i], scan->rows->vals[scan->taken++], scan->rows->tupdesc);
	return count;
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
	SPI_cursor_close(scan->portal);
}
