/*
 * chain_row.c
 *		What a record's place in the chain and its hash are made of.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/chain_row.h"
#include "base/error_reason.h"

/* The columns behind the texts. */
enum
{
	CHAIN_DISPATCHED_AT = NUM_CHAIN_COLUMNS - 2,
	CHAIN_NUMBER
};

/* What the records need besides what every audit table has. */
static const struct
{
	const char *name;
	Oid type;
} chain_columns[] = {
	{"record_hash", TEXTOID},
	{"previous_hash", TEXTOID},
	{"sequence_number", INT8OID},
	{"verdict", TEXTOID},
};

/*
 * Whether the table has the columns of the chain, as the gateway makes them.
 */
bool
HasChain(const AuditTable *table)
{
	for (int i = 0; i < lengthof(chain_columns); i++)
	{
		AttrNumber column = AuditColumn(table, chain_columns[i].name);

		if (column == InvalidAttrNumber ||
			TupleDescAttr(RelationGetDescr(table->rel), column - 1)->atttypid !=
				chain_columns[i].type)
			return false;
	}
	return true;
}

/*
 * Whether an index finds a number of a namespace and tenant: it has nothing else in front
 * of the number.
 */
static bool
finds_numbers(const AuditTable *table, Relation index)
{
	Form_pg_index form = index->rd_index;
	AttrNumber number = AuditColumn(table, "sequence_number");

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber column = form->indkey.values[i];

		if (column == number)
			return true;
		if (column != table->columns[COL_NAMESPACE] && column != table->columns[COL_TENANT])
			return false;
	}
	return false;
}

/*
 * Whether a record of a chain is found by its number without reading many: an index has the
 * numbers, as the gateway makes one.  Not asked of another server's tables.
 */
bool
HasChainIndex(const AuditTable *table)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool found = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= finds_numbers(table, index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/*
 * Raise an error unless the table has the columns of the chain.
 */
void
CheckHasChain(const AuditTable *table)
{
	if (AuditColumn(table, "record_hash") == InvalidAttrNumber ||
		AuditColumn(table, "previous_hash") == InvalidAttrNumber ||
		AuditColumn(table, "sequence_number") == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errreason(CODE_NO_HASH_CHAIN),
						errmsg("audit table %s has no hash chain", table->quoted_name),
						errdetail("It lacks record_hash, previous_hash or sequence_number."),
						errhint("The gateway's versions that have a compliance mode add them.")));
	for (int i = 0; i < lengthof(chain_columns); i++)
		CheckAuditColumn(table, chain_columns[i].name, chain_columns[i].type);
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
