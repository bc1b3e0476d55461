/*
 * audit_chain.c
 *		The chain of hashes that the gateway makes of a tenant's records.
 *
 * In its compliance mode, the gateway numbers the records of each namespace and tenant
 * from 0 on (sequence_number), in the order in which it writes them.  Each has the hash of
 * ten of its columns (record_hash; see record_hash.c), one of which is the hash of the
 * record before it (previous_hash; NULL for the first one).  Here the records of a chain are
 * read by their numbers, one by one, and each is compared with the one before it.
 *
 * What is found is a fault of the records that are there.  No chain shows that its last
 * records were cut off, or that all of it was made anew by somebody who can write the
 * table: for that, a number and its hash must be known from elsewhere.  Nor does it show
 * a change of a column that is not hashed.
 *
 * Memory does not depend on the number of records: of each, only what the next one is
 * compared with is kept, and of intents as many hints as record_hash.c has room for.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "audit/audit_chain.h"
#include "audit/audit_sql.h"
#include "audit/chain_row.h"
#include "base/identity.h"
#include "base/operators.h"
#include "base/text.h"

/* Rows that are fetched at once. */
#define FETCHED_ROWS 1000

/* The record that the next one is compared with. */
typedef struct LastRow
{
	bool exists;
	int64 number;
	text *hash; /* NULL: it has none */
	text *id;
	text *action_id;
	OptionalTime dispatched_at;
	bool is_changed; /* it does not have the hash of what is in it, which is not told yet */
} LastRow;

/* A check that is under way. */
typedef struct Walk
{
	ChainCheck *check;
	const AuditTable *table;
	MemoryContext context;
	RecordHasher *hasher;
	LastRow last;
	text *first_id;   /* of the first record that was looked at */
	bool lacks_known; /* the record that was known is not there */
	bool has_least;   /* the first number that is looked at */
	int64 least;
	bool has_within; /* all numbers up to this are among those of the times */
	int64 within;
	OptionalTime after; /* the time of the record that was known */
	int64 counted;      /* against the most that are wanted */
	int64 repeated;     /* of these, those that have the number of the last one, too */
} Walk;

/* ----------------------------------------------------------------
 * Findings
 * ----------------------------------------------------------------
 */

/*
 * Tell of something that is wrong.
 */
static void
tell(Walk *walk, const ChainFinding *finding)
{
	walk->check->faults++;
	walk->check->report(walk->check->arg, finding);
}

/*
 * Tell that records are missing before a row, NULL for at the end, from a number on; 0 of
 * them: nobody knows how many.
 */
static void
tell_missing(Walk *walk, ChainFault fault, int64 first, int64 count, const ChainRow *behind,
			 const char *detail)
{
	ChainFinding finding = {.fault = fault,
							.records = count,
							.has_number = true,
							.number = first,
							.broken_at = behind == NULL ? NULL : behind->record.id,
							.detail = detail};

	tell(walk, &finding);
}

/*
 * Tell of a row.
 */
static void
tell_row(Walk *walk, ChainFault fault, const ChainRow *row, const char *detail)
{
	ChainFinding finding = {.fault = fault,
							.records = 1,
							.has_number = row->has_number,
							.number = row->number,
							.id = row->record.id,
							.action_id = row->record.action_id,
							.record_hash = row->record.record_hash,
							.dispatched_at = row->dispatched_at,
							.broken_at = row->record.id,
							.detail = detail};

	tell(walk, &finding);
}

/*
 * Tell of the last row, if it was changed, what the one behind it says of that; NULL: none
 * is behind it, or one that is not the next.
 */
static void
tell_changed(Walk *walk, const ChainRow *next)
{
	LastRow *last = &walk->last;
	ChainFinding finding = {.fault = FAULT_CONTENT,
							.records = 1,
							.has_number = true,
							.number = last->number,
							.id = last->id,
							.action_id = last->action_id,
							.record_hash = last->hash,
							.dispatched_at = last->dispatched_at,
							.broken_at = last->id};

	if (!last->is_changed)
		return;
	last->is_changed = false;
	if (last->hash == NULL)
		finding.detail = "it has no record_hash";
	else if (next == NULL)
		finding.detail = "its record_hash is not that of its columns";
	else if (SameOptionalText(next->record.previous_hash, last->hash))
		finding.detail = "its record_hash is not that of its columns, but is what the next record "
						 "names: one of the columns that are hashed was changed";
	else
		finding.detail = "its record_hash is neither that of its columns nor what the next record "
						 "names";
	tell(walk, &finding);
}

/* ----------------------------------------------------------------
 * Records one by one
 * ----------------------------------------------------------------
 */

static text *
keep_text(const text *value)
{
	return value == NULL ? NULL
						 : cstring_to_text_with_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
drop_text(text *value)
{
	if (value != NULL)
		pfree(value);
}

/*
 * Let a row be the one that the next is compared with.
 */
static void
keep_row(Walk *walk, const ChainRow *row, bool is_changed)
{
	MemoryContext old = MemoryContextSwitchTo(walk->context);
	LastRow *last = &walk->last;

	drop_text(last->hash);
	drop_text(last->id);
	drop_text(last->action_id);
	last->exists = true;
	last->number = row->number;
	last->hash = keep_text(row->record.record_hash);
	last->id = keep_text(row->record.id);
	last->action_id = keep_text(row->record.action_id);
	last->dispatched_at = row->dispatched_at;
	last->is_changed = is_changed;
	MemoryContextSwitchTo(old);
}

/*
 * Judge whether a row names the hash of the one before it, which is the last.
 */
static void
judge_link(Walk *walk, const ChainRow *row, const text *before)
{
	const text *named = row->record.previous_hash;

	if (before == NULL || SameOptionalText(named, before))
		return; /* it has none, which is told of it: keep_row() and tell_changed() */
	tell_row(walk, FAULT_LINK, row,
			 named == NULL ? "it has no previous_hash"
						   : "its previous_hash is not the record_hash of the record before it");
}

/*
 * Judge the first row of all, or of those that there are.
 */
static void
judge_first(Walk *walk, const ChainRow *row)
{
	const ChainCheck *check = walk->check;

	if (row->number == 0)
	{
		if (row->record.previous_hash != NULL)
			tell_row(walk, FAULT_LINK, row,
					 "it is the first record of the chain, but has a previous_hash");
		return;
	}
	tell_missing(walk, FAULT_BEGINNING, 0, row->number, row,
				 "the records before the first one that is there are missing: the gateway deletes "
				 "records when they expire, or somebody has deleted them");
	if (row->record.previous_hash == NULL)
		tell_row(walk, FAULT_LINK, row, "it has no previous_hash");
	else if (walk->lacks_known && check->known_hash != NULL && row->number == check->known + 1)
		judge_link(walk, row, check->known_hash);
}

/*
 * Judge a row by the one before it.
 */
static void
judge_place(Walk *walk, const ChainRow *row)
{
	const LastRow *last = &walk->last;

	if (!last->exists)
	{
		judge_first(walk, row);
		return;
	}
	if (row->number == last->number + 1)
	{
		judge_link(walk, row, last->hash);
		return;
	}
	tell_missing(walk, FAULT_GAP, last->number + 1, row->number - last->number - 1, row,
				 SameOptionalText(row->record.previous_hash, last->hash)
					 ? "the numbers are not used, but the record behind them is linked to the one "
					   "before them: numbers were changed"
					 : "records between others are missing");
	if (row->record.previous_hash == NULL)
		tell_row(walk, FAULT_LINK, row, "it has no previous_hash");
}

/*
 * Check a row.
 */
static void
check_row(Walk *walk, const ChainRow *row)
{
	ChainCheck *check = walk->check;
	bool is_next = walk->last.exists && row->number == walk->last.number + 1;

	check->checked++;
	walk->counted++;
	if (!check->has_first)
	{
		MemoryContext old = MemoryContextSwitchTo(walk->context);

		check->first = row->number;
		walk->first_id = keep_text(row->record.id);
		MemoryContextSwitchTo(old);
	}
	check->has_first = true;
	tell_changed(walk, is_next ? row : NULL);
	if (row->number < 0 || (walk->last.exists && row->number == walk->last.number))
	{
		if (row->number < 0)
			tell_row(walk, FAULT_NUMBER, row, "its sequence_number is below 0");
		else
		{
			walk->repeated++;
			tell_row(walk, FAULT_DUPLICATE, row, "another record has the same sequence_number");
		}
		if (!RecordHashFits(walk->hasher, &row->record))
			tell_row(walk, FAULT_CONTENT, row, "its record_hash is not that of its columns");
		return;
	}
	walk->repeated = 0;
	judge_place(walk, row);
	keep_row(walk, row, !RecordHashFits(walk->hasher, &row->record));
}

/* ----------------------------------------------------------------
 * Statements
 * ----------------------------------------------------------------
 */

/*
 * Add the records of the chain's namespace and tenant, as "a".
 */
static void
add_records(Statement *st, const Walk *walk)
{
	AddRecords(st, walk->table);
	AddEqual(st, walk->table, "a", "namespace", "$%d",
			 AddParameter(st, TEXTOID, PointerGetDatum(walk->check->namespace)));
	AddEqual(st, walk->table, "a", "tenant", "$%d",
			 AddParameter(st, TEXTOID, PointerGetDatum(walk->check->tenant)));
}

/*
 * Add the times that are asked for; the beginning does not count behind a known record.
 */
static void
add_times(Statement *st, const ChainCheck *check, bool with_from)
{
	if (check->from.given && with_from)
		appendStringInfo(&st->sql, " AND a.dispatched_at" GE "$%d",
						 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(check->from.time)));
	if (check->to.given)
		appendStringInfo(&st->sql, " AND a.dispatched_at" LE "$%d",
						 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(check->to.time)));
}

/*
 * Find the first record of the times that are asked for whose number is greater than one, if
 * there is one.  Returns false if none is.
 */
static bool
find_number(Walk *walk, bool has_before, int64 before, int64 *number)
{
	bool found;
	bool isnull;
	Statement st;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT a.sequence_number");
	add_records(&st, walk);
	appendStringInfoString(&st.sql, " AND a.sequence_number IS NOT NULL");
	if (has_before)
		appendStringInfo(&st.sql, " AND a.sequence_number" GT "$%d",
						 AddParameter(&st, INT8OID, Int64GetDatum(before)));
	add_times(&st, walk->check, !walk->check->has_known);
	appendStringInfoString(&st.sql, " ORDER BY a.sequence_number LIMIT 1");
	ReadByIndexes(walk->table, &st, 1);
	found = SPI_processed > 0;
	if (found)
		*number =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*
 * Find the number at which to begin.  Of times, all records between the first and the last
 * one are checked, whatever their times, as the gateway does not number records by them.
 * Behind a known record, that one is always looked at, and the end alone limits what is
 * behind it.  Returns false if there are no records of these times.
 */
static bool
find_beginning(Walk *walk)
{
	const ChainCheck *check = walk->check;

	walk->has_least = check->has_known || check->from.given;
	walk->least = check->known + 1;
	return check->has_known || !check->from.given || find_number(walk, false, 0, &walk->least);
}

/*
 * Whether a row is not behind the last record of the times that are asked for.  Only where a
 * row is later than these, which is mostly at their end, those behind it are searched.
 */
static bool
is_within(Walk *walk, const ChainRow *row)
{
	const ChainCheck *check = walk->check;

	if (!check->to.given || (walk->has_within && row->number <= walk->within))
		return true;
	if (row->dispatched_at.given && row->dispatched_at.time <= check->to.time &&
		(check->has_known || !check->from.given || row->dispatched_at.time >= check->from.time))
		return true;
	walk->has_within = find_number(walk, true, row->number, &walk->within);
	return walk->has_within;
}

/*
 * Whether a row has the number of the record that was known.
 */
static bool
is_known(const ChainCheck *check, const ChainRow *row)
{
	return check->has_known && row->number == check->known;
}

/*
 * Find the last record before those that are looked at.  One that was known is checked like
 * these: nothing may be behind it, and its hash alone does not show that it is as it was.
 */
static void
find_before(Walk *walk)
{
	ChainRow row;
	Statement st;

	if (!walk->has_least)
		return;
	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT " CHAIN_COLUMNS);
	add_records(&st, walk);
	appendStringInfo(&st.sql,
					 " AND a.sequence_number" LT "$%d ORDER BY a.sequence_number DESC LIMIT 1",
					 AddParameter(&st, INT8OID, Int64GetDatum(walk->least)));
	ReadByIndexes(walk->table, &st, 1);
	if (SPI_processed > 0)
	{
		ReadChainRow(&row, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
		if (row.number >= 0)
			keep_row(walk, &row,
					 row.record.record_hash == NULL ||
						 (is_known(walk->check, &row) &&
						  !RecordHashFits(walk->hasher, &row.record)));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Compare the record that was known with the one that is there.
 */
static void
check_known(Walk *walk)
{
	const ChainCheck *check = walk->check;
	LastRow *last = &walk->last;
	ChainFinding finding = {.fault = FAULT_WITNESS,
							.records = 1,
							.has_number = true,
							.number = check->known,
							.id = last->id,
							.action_id = last->action_id,
							.record_hash = last->hash,
							.dispatched_at = last->dispatched_at,
							.broken_at = last->id,
							.detail = "its record_hash is not the one that was given"};

	if (!check->has_known)
		return;
	walk->lacks_known = !last->exists || last->number != check->known;
	if (!walk->lacks_known)
		walk->after = last->dispatched_at;
	if (!walk->lacks_known && check->known_hash != NULL &&
		!SameOptionalText(check->known_hash, last->hash))
		tell(walk, &finding);
}

/*
 * Open a cursor as the audit table's owner, with a plan that has the first rows at once.
 */
static Portal
open_cursor(const Walk *walk, Statement *st)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	Portal portal;

	SwitchIdentity(&caller, walk->table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_bitmapscan", "off");
	SetLocally("enable_sort", "off");
	SetLocally("jit", "off");
	portal = SPI_cursor_open_with_args(NULL, st->sql.data, st->nargs, st->types, st->values, NULL,
									   true, CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return portal;
}

/*
 * Open the cursor of the records that are looked at, in the order of their numbers: of those
 * that have numbers below 0, or the others.
 */
static Portal
open_records(const Walk *walk, bool is_negative)
{
	int64 least = walk->has_least ? walk->least : is_negative ? PG_INT64_MIN : 0;
	Statement st;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT " CHAIN_COLUMNS);
	add_records(&st, walk);
	appendStringInfoString(&st.sql, " AND a.sequence_number IS NOT NULL");
	appendStringInfo(&st.sql, " AND a.sequence_number" GE "$%d",
					 AddParameter(&st, INT8OID,
								  Int64GetDatum(is_negative ? least : Max(least, 0))));
	if (is_negative)
		appendStringInfo(&st.sql, " AND a.sequence_number" LT "$%d",
						 AddParameter(&st, INT8OID, Int64GetDatum(0)));
	appendStringInfoString(&st.sql, " ORDER BY a.sequence_number");
	return open_cursor(walk, &st);
}

/*
 * Whether the time is over.
 */
static bool
is_late(const ChainCheck *check)
{
	return check->until.given && GetCurrentTimestamp() >= check->until.time;
}

/*
 * Whether as many records were checked as are wanted, or for as long: of any number, at
 * least one is, and one more that has the number of the last one, so that this is told: what
 * continues begins behind all of these.
 */
static bool
is_enough(const Walk *walk, const ChainRow *row)
{
	const ChainCheck *check = walk->check;

	if (row->number >= 0 && walk->last.exists && row->number == walk->last.number &&
		walk->repeated == 0)
		return false;
	return walk->counted >= check->most || (walk->counted > 0 && is_late(check));
}

/*
 * Check the records that are looked at, as many as are wanted: of those that have numbers
 * below 0, or the others.  Returns whether that was all of them.
 */
static bool
walk_part(Walk *walk, bool is_negative)
{
	MemoryContext window =
		AllocSetContextCreate(walk->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Portal portal = open_records(walk, is_negative);
	bool is_all = true;
	bool is_over = false;
	uint64 count;

	walk->counted = 0;
	do
	{
		SPITupleTable *rows;

		count = FetchRows(walk->table, portal, FETCHED_ROWS);
		rows = SPI_tuptable;
		MemoryContextSwitchTo(window);
		for (uint64 i = 0; i < count && is_all && !is_over; i++)
		{
			ChainRow row;

			CHECK_FOR_INTERRUPTS();
			ReadChainRow(&row, rows->vals[i], rows->tupdesc);
			is_over = !is_within(walk, &row);
			is_all = is_over || !is_enough(walk, &row);
			if (is_all && !is_over)
				check_row(walk, &row);
			MemoryContextReset(window);
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(rows);
	} while (is_all && !is_over && count == FETCHED_ROWS);
	SPI_cursor_close(portal);
	MemoryContextDelete(window);
	return is_all;
}

/*
 * Check the records that are looked at, as many as are wanted.  Those with numbers below 0
 * are counted apart, as nobody can continue behind one of them: if there are more, they are
 * left out, which leaves the chain as broken as it is.
 */
static void
walk_records(Walk *walk)
{
	ChainCheck *check = walk->check;

	if (!walk->has_least || walk->least < 0)
		check->leaves_out = !walk_part(walk, true);
	check->is_complete = walk_part(walk, false);
	tell_changed(walk, NULL);
}

/*
 * Open the cursor of the records of the tenant from the known record to the last one that was
 * looked at, by time: of a check that is not complete, those behind that are counted by what
 * continues it.  So each is counted by one of the checks that follow each other.
 */
static Portal
open_window(const Walk *walk, bool is_timeless)
{
	const ChainCheck *check = walk->check;
	const LastRow *last = &walk->last;
	Statement st;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT a.sequence_number IS NULL, a.record_hash IS NOT NULL");
	add_records(&st, walk);
	add_times(&st, check, true);
	if (is_timeless)
		appendStringInfoString(&st.sql, " AND a.dispatched_at IS NULL");
	else if (walk->after.given)
		appendStringInfo(&st.sql, " AND a.dispatched_at" GT "$%d",
						 AddParameter(&st, TIMESTAMPTZOID, TimestampTzGetDatum(walk->after.time)));
	if (!check->is_complete && last->exists && last->dispatched_at.given)
		appendStringInfo(&st.sql, " AND a.dispatched_at" LE "$%d",
						 AddParameter(&st, TIMESTAMPTZOID,
									  TimestampTzGetDatum(last->dispatched_at.time)));
	return open_cursor(walk, &st);
}

/*
 * Count the records of a cursor that have no number.  When the time is over, one of them is
 * enough, as it is known then what that means.
 */
static void
count_window(Walk *walk, Portal portal, int64 *hashed)
{
	ChainCheck *check = walk->check;
	bool is_late_enough = false;
	uint64 count;

	do
	{
		count = FetchRows(walk->table, portal, FETCHED_ROWS);
		for (uint64 i = 0; i < count; i++)
		{
			HeapTuple row = SPI_tuptable->vals[i];
			TupleDesc desc = SPI_tuptable->tupdesc;
			bool isnull;

			if (!DatumGetBool(SPI_getbinval(row, desc, 1, &isnull)))
				continue;
			if (DatumGetBool(SPI_getbinval(row, desc, 2, &isnull)))
				(*hashed)++;
			else
				check->unchained++;
		}
		SPI_freetuptable(SPI_tuptable);
		is_late_enough = check->unchained + *hashed > 0 && is_late(check);
	} while (count == FETCHED_ROWS && !is_late_enough);
	check->has_more_unchained |= count == FETCHED_ROWS;
	SPI_cursor_close(portal);
}

/*
 * Count the records of the tenant that have no number: they are outside the chain.  Those
 * that have a hash were taken out of one.
 */
static void
count_unchained(Walk *walk)
{
	ChainCheck *check = walk->check;
	int64 hashed = 0;

	count_window(walk, open_window(walk, false), &hashed);
	if (check->is_complete && walk->after.given && !check->from.given && !check->to.given)
		count_window(walk, open_window(walk, true), &hashed);
	if (hashed > 0)
	{
		ChainFinding finding = {.fault = FAULT_NUMBER,
								.records = hashed,
								.detail = "records have a record_hash, but no sequence_number: "
										  "they were taken out of the chain"};

		tell(walk, &finding);
	}
}

/*
 * Tell that the record that was known is missing, if none behind it is there: else the
 * first of these was compared with what is before it.
 */
static void
tell_end(Walk *walk)
{
	const ChainCheck *check = walk->check;

	if (!walk->lacks_known || check->checked > 0)
		return;
	tell_missing(
		walk, FAULT_END, walk->last.exists ? walk->last.number + 1 : check->known, 0, NULL,
		check->to.given
			? "neither the record with the given number is there nor any after it that was "
			  "looked at: the end of the chain was cut off, or all of it has expired"
			: "neither the record with the given number is there nor any after it: the end "
			  "of the chain was cut off, or all of it has expired");
}

/*
 * Note what is known of the first and the last record that were looked at, in the caller's
 * memory context.
 */
static void
note_ends(Walk *walk, MemoryContext context)
{
	ChainCheck *check = walk->check;
	const LastRow *last = &walk->last;
	MemoryContext old = MemoryContextSwitchTo(context);

	check->first_id = keep_text(walk->first_id);
	check->has_last = last->exists;
	check->last = last->number;
	check->last_hash = keep_text(last->hash);
	check->last_id = keep_text(last->id);
	check->last_time = last->dispatched_at;
	MemoryContextSwitchTo(old);
}

/*
 * Check a part of a chain: the records behind a known one, or those that lie between the
 * first and the last of some times, or all, up to a number of records or a time.  What is
 * wrong is reported in the order of the numbers; the report must keep its memory elsewhere
 * than in the current context.  Needs an SPI connection; the texts that the check is given and
 * returns are in the current memory context.
 */
void
CheckChain(ChainCheck *check, const AuditTable *table)
{
	MemoryContext old = CurrentMemoryContext;
	Walk walk = {.check = check, .table = table};

	CheckHasChain(table);
	walk.context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay chain", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(walk.context);
	walk.hasher = MakeRecordHasher();
	check->is_complete = true;
	if (find_beginning(&walk))
	{
		find_before(&walk);
		check_known(&walk);
		walk_records(&walk);
		tell_end(&walk);
	}
	count_unchained(&walk);
	note_ends(&walk, old);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(walk.context);
}
