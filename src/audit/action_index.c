/*
 * action_index.c
 *		Reading the record of an action straight from the index on action ids.
 *
 * A single replay reads one row.  A statement for that takes eight times as long as
 * the row itself, so where a statement would do nothing else than follow the index,
 * the index is followed here: on a plain table, which has no policies and no
 * children, if its owner may read it and nobody watches what is read.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/action_index.h"
#include "base/compat.h"
#include "base/partial_index.h"
#include "base/text.h"
#include "queue/effect.h"

/* What decides between several records of an action. */
typedef struct Rank
{
	TimestampTz dispatched_at;
	bool is_intent;
	text *id;
} Rank;

/*
 * Whether a statement would read the table's rows as they are.
 */
static bool
is_plain(const AuditTable *table)
{
	Form_pg_class form = table->rel->rd_rel;

	return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
		   !form->relhassubclass && !form->relrowsecurity && !RELATION_IS_OTHER_TEMP(table->rel) &&
		   !ActeonHasComputed(RelationGetDescr(table->rel)) && ExecutorCheckPerms_hook == NULL &&
		   pg_class_aclcheck(RelationGetRelid(table->rel), table->owner, ACL_SELECT) ==
			   ACLCHECK_OK &&
		   ActeonSchemaAclCheck(RelationGetNamespace(table->rel), table->owner, ACL_USAGE) ==
			   ACLCHECK_OK;
}

/*
 * Whether an index knows all rows that the transaction's snapshots can show.  One that
 * was built while old versions of rows had other values does not know those.
 */
static bool
knows_all_rows(Relation index)
{
	return index->rd_index->indisvalid &&
		   (!index->rd_index->indcheckxmin ||
			TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
								  TransactionXmin));
}

/*
 * Whether an index finds all rows with an action id, compared byte for byte.
 */
static bool
is_on_action_id(const AuditTable *table, Relation index)
{
	Form_pg_index form = index->rd_index;

	return index->rd_rel->relam == BTREE_AM_OID && knows_all_rows(index) &&
		   form->indkey.values[0] == table->columns[COL_ACTION_ID] &&
		   index->rd_opfamily[0] == TEXT_BTREE_FAM_OID && index->rd_opcintype[0] == TEXTOID &&
		   get_collation_isdeterministic(index->rd_indcollation[0]) && !IsPartialIndex(index);
}

/*
 * Open the index; NULL if there is none.
 */
static Relation
open_action_index(const AuditTable *table)
{
	List *indexes = RelationGetIndexList(table->rel);
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		if (is_on_action_id(table, index))
			return index;
		index_close(index, AccessShareLock);
	}
	return NULL;
}

/*
 * A text of the row in a slot; NULL if it is NULL, or lies elsewhere.
 */
static text *
short_text(const AuditTable *table, TupleTableSlot *slot, RecordColumn column)
{
	bool isnull;
	Datum value = slot_getattr(slot, table->columns[column], &isnull);

	if (isnull || VARATT_IS_EXTERNAL(DatumGetPointer(value)) ||
		VARATT_IS_COMPRESSED(DatumGetPointer(value)))
		return NULL;
	return (text *) DatumGetPointer(value);
}

/*
 * Read what the rank of the row in a slot is made of, and whether it has the outcome
 * that is wanted, if one is.  Returns false if a statement is to judge, since
 * something is missing or lies elsewhere.
 */
static bool
read_rank(const AuditTable *table, TupleTableSlot *slot, const char *outcome, Rank *rank,
		  bool *counts)
{
	bool isnull;
	text *its_outcome = short_text(table, slot, COL_OUTCOME);

	rank->dispatched_at =
		DatumGetTimestampTz(slot_getattr(slot, table->columns[COL_DISPATCHED_AT], &isnull));
	rank->id = short_text(table, slot, COL_ID);
	if (isnull || its_outcome == NULL || rank->id == NULL)
		return false;
	rank->is_intent = TextIs(its_outcome, INTENT_OUTCOME);
	*counts = outcome == NULL || TextIs(its_outcome, outcome);
	return true;
}

/*
 * Whether a record is to be taken rather than another one of its action: see
 * AuditFindAction.
 */
static bool
is_better(const Rank *rank, const Rank *other)
{
	int order;

	if (rank->dispatched_at != other->dispatched_at)
		return rank->dispatched_at > other->dispatched_at;
	if (rank->is_intent != other->is_intent)
		return !rank->is_intent;
	order = memcmp(VARDATA_ANY(rank->id), VARDATA_ANY(other->id),
				   Min(VARSIZE_ANY_EXHDR(rank->id), VARSIZE_ANY_EXHDR(other->id)));
	if (order == 0)
		return VARSIZE_ANY_EXHDR(rank->id) > VARSIZE_ANY_EXHDR(other->id);
	return order > 0;
}

/*
 * Look through the rows that a scan finds; see FindByActionIndex.
 */
static bool
pick_record(const AuditTable *table, IndexScanDesc scan, TupleTableSlot *slot, const char *outcome,
			HeapTuple *tuple)
{
	Rank best = {0};

	*tuple = NULL;
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		Rank rank;
		bool counts;

		CHECK_FOR_INTERRUPTS();
		if (!read_rank(table, slot, outcome, &rank, &counts))
			return false;
		if (!counts || (*tuple != NULL && !is_better(&rank, &best)))
			continue;
		if (*tuple != NULL)
			heap_freetuple(*tuple);
		*tuple = ExecCopySlotHeapTuple(slot);
		best = rank;
		best.id = DatumGetTextPCopy(PointerGetDatum(rank.id)); /* the slot gets the next row */
	}
	return true;
}

/*
 * Find the row of an action's record, as AuditFindAction does, and copy it into the
 * current memory context; NULL if there is none.  Returns false, having found out
 * nothing, if it takes a statement to do that.
 */
bool
FindByActionIndex(const AuditTable *table, const char *action_id, const char *outcome,
				  HeapTuple *tuple)
{
	Relation index;
	ScanKeyData key;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	bool done;

	if (!is_plain(table) || (index = open_action_index(table)) == NULL)
		return false;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0],
						   F_TEXTEQ, CStringGetTextDatum(action_id));
	slot = table_slot_create(table->rel, NULL);
	scan = ActeonIndexBeginScan(table->rel, index, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	done = pick_record(table, scan, slot, outcome, tuple);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return done;
}
