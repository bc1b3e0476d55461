/*
 * linked_records.c
 *		Whether single records are as the gateway wrote them into its chain.
 *
 * Two things are looked at: whether a record has the hash of what is in it, and whether
 * the record with the number before it has the hash that it names.  The first record of a
 * chain names none.  Nothing is said of the rest of the chain (audit_chain.c), nor of the
 * columns that are not hashed: the payload is one of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/chain_row.h"
#include "audit/linked_records.h"
#include "base/operators.h"

/* The columns behind those of the row. */
enum
{
	LINKED_HAS_BEFORE = NUM_CHAIN_COLUMNS + 1,
	LINKED_PLACE
};

/*
 * Build the statement that reads the records, and whether the one before each has the
 * hash that it names.
 */
static void
build_statement(Statement *st, const AuditTable *table, const LinkedRecord *records, int count)
{
	ArrayBuildState *ids = NULL;
	ArrayBuildState *times = NULL;

	for (int i = 0; i < count; i++)
	{
		ids = accumArrayResult(ids, PointerGetDatum(records[i].id), false, TEXTOID,
							   CurrentMemoryContext);
		times = accumArrayResult(times, TimestampTzGetDatum(records[i].dispatched_at), false,
								 TIMESTAMPTZOID, CurrentMemoryContext);
	}
	BeginStatement(st);
	AddParameter(st, TEXTARRAYOID, makeArrayResult(ids, CurrentMemoryContext));
	AddParameter(st, TIMESTAMPTZARRAYOID, makeArrayResult(times, CurrentMemoryContext));
	/* With LIMIT, each search is one of its own, by an index. */
	appendStringInfo(&st->sql,
					 "SELECT " CHAIN_COLUMNS ", (SELECT true FROM %s AS b WHERE %s AND %s AND"
					 " b.sequence_number" EQ "CASE WHEN a.sequence_number" GT "0"
					 " THEN a.sequence_number OPERATOR(pg_catalog.-) 1 END AND %s"
					 " LIMIT 1), r.place FROM ROWS FROM (pg_catalog.unnest($1),"
					 " pg_catalog.unnest($2)) WITH ORDINALITY AS r (id, dispatched_at, place)"
					 " CROSS JOIN LATERAL (SELECT a.* FROM %s AS a WHERE %s AND a.dispatched_at" EQ
					 "r.dispatched_at LIMIT 2) AS a",
					 table->quoted_name, TextTest(table, "b", "namespace", EQ "a.namespace"),
					 TextTest(table, "b", "tenant", EQ "a.tenant"),
					 TextTest(table, "b", "record_hash", EQ "a.previous_hash"), table->quoted_name,
					 TextTest(table, "a", "id", EQ "r.id"));
}

/*
 * What is wrong with a row, of which it is known whether the record before it has the hash
 * that it names.
 */
static LinkFault
judge_row(RecordHasher *hasher, const ChainRow *row, bool has_before)
{
	bool is_linked =
		row->number == 0 ? row->record.previous_hash == NULL : row->number > 0 && has_before;

	if (row->record.record_hash == NULL || !row->has_number)
		return LINK_NO_HASH;
	if (!is_linked)
		return LINK_BROKEN;
	return RecordHashFits(hasher, &row->record) ? LINK_HOLDS : LINK_CHANGED;
}

/*
 * Judge the rows that the statement has found.
 */
static void
judge_found(LinkedRecord *records, int count)
{
	RecordHasher *hasher = MakeRecordHasher();
	bool *is_seen = palloc0(count * sizeof(bool));
	TupleDesc desc = SPI_tuptable->tupdesc;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		bool isnull, has_none;
		int64 place;
		LinkFault fault;
		ChainRow row;

		CHECK_FOR_INTERRUPTS();
		place = DatumGetInt64(SPI_getbinval(tuple, desc, LINKED_PLACE, &isnull)) - 1;
		(void) SPI_getbinval(tuple, desc, LINKED_HAS_BEFORE, &has_none);
		ReadChainRow(&row, tuple, desc);
		fault = judge_row(hasher, &row, !has_none);
		/* Of two with the same id and time, both must hold. */
		if (!is_seen[place] || fault != LINK_HOLDS)
			records[place].fault = fault;
		is_seen[place] = true;
	}
}

/*
 * Find out what is wrong with records, of which the ids and the times are given.  One that
 * is no longer there has no hash.  A table without the columns of the chain, as the gateway
 * makes them, has no record with a hash.  Needs an SPI connection.
 */
void
FindLinkFaults(const AuditTable *table, LinkedRecord *records, int count)
{
	MemoryContext context;
	MemoryContext old;
	Statement st;

	for (int i = 0; i < count; i++)
		records[i].fault = LINK_NO_HASH;
	if (count == 0 || !HasChain(table))
		return;
	context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay chain", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	build_statement(&st, table, records, count);
	ReadByIndexes(table, &st, 0);
	judge_found(records, count);
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
