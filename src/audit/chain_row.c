/*
 * chain_row.c
 *		What a record's place in the chain and its hash are made of.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/chain_row.h"
#include "base/error_reason.h"

/* The columns behind the texts. */
enum
{
	CHAIN_DISPATCHED_AT = NUM_CHAIN_COLUMNS - 2,
	CHAIN_NUMBER
};

/*
 * Whether the table has the columns of the chain.
 */
bool
HasChain(const AuditTable *table)
{
	return AuditColumn(table, "record_hash") != InvalidAttrNumber &&
		   AuditColumn(table, "previous_hash") != InvalidAttrNumber &&
		   AuditColumn(table, "sequence_number") != InvalidAttrNumber;
}

/*
 * Raise an error unless the table has the columns of the chain.
 */
void
CheckHasChain(const AuditTable *table)
{
	if (!HasChain(table))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errreason(CODE_NO_HASH_CHAIN),
						errmsg("audit table %s has no hash chain", table->quoted_name),
						errdetail("It lacks record_hash, previous_hash or sequence_number."),
						errhint("The gateway's versions that have a compliance mode add them.")));
	CheckAuditColumn(table, "record_hash", TEXTOID);
	CheckAuditColumn(table, "previous_hash", TEXTOID);
	CheckAuditColumn(table, "sequence_number", INT8OID);
	CheckAuditColumn(table, "verdict", TEXTOID);
}

/*
 * Read a row of the columns of CHAIN_COLUMNS.
 */
void
ReadChainRow(ChainRow *row, HeapTuple tuple, TupleDesc desc)
{
	const text **texts[CHAIN_DISPATCHED_AT] = {
		&row->record.id,          &row->record.action_id, &row->record.namespace,
		&row->record.tenant,      &row->record.provider,  &row->record.action_type,
		&row->record.verdict,     &row->record.outcome,   &row->record.previous_hash,
		&row->record.record_hash,
	};
	bool isnull;
	Datum value;

	for (int i = 0; i < CHAIN_DISPATCHED_AT; i++)
	{
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		*texts[i] = isnull ? NULL : DatumGetTextPP(value);
	}
	value = heap_getattr(tuple, CHAIN_DISPATCHED_AT + 1, desc, &isnull);
	row->dispatched_at =
		(OptionalTime){.given = !isnull, .time = isnull ? 0 : DatumGetTimestampTz(value)};
	row->record.dispatched_at = isnull ? DT_NOBEGIN : row->dispatched_at.time;
	value = heap_getattr(tuple, CHAIN_NUMBER + 1, desc, &isnull);
	row->has_number = !isnull;
	row->number = isnull ? 0 : DatumGetInt64(value);
}
