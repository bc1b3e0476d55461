/*
 * action_index.c
 *		Reading the record of an action straight from a table's index on action ids.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "audit/action_index.h"
#include "base/compat.h"
#include "base/partial_index.h"
#include "base/text.h"
#include "queue/effect.h"

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
 * Whether an index begins with the action id, seen without opening it: in the first
 * search of a session, that would take most of the time.
 */
static bool
begins_with_action_id(const AuditTable *table, Oid relid)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(relid));
	bool begins;

	if (!HeapTupleIsValid(tuple))
		return false; /* it is being dropped concurrently */
	begins = ((Form_pg_index) GETSTRUCT(tuple))->indkey.values[0] == table->columns[COL_ACTION_ID];
	ReleaseSysCache(tuple);
	return begins;
}

/*
 * Open the index; NULL if there is none.
 */
static Relation
open_action_index(const AuditTable *table)
{
	List *indexes = RelationGetIndexList(table->rel);
	Relation found = NULL;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index;

		if (!begins_with_action_id(table, lfirst_oid(lc)))
			continue;
		index = index_open(lfirst_oid(lc), AccessShareLock);
		if (is_on_action_id(table, index))
		{
			found = index;
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
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
 * Read what the rank of the row in a slot is made of, except for its time, and whether
 * it has the outcome that is wanted, if one is.  Returns false if a statement is to
 * judge, since something is missing or lies elsewhere.
 */
static bool
read_rank(const AuditTable *table, TupleTableSlot *slot, const char *outcome, ActionRank *rank,
		  bool *counts)
{
	text *its_outcome = short_text(table, slot, COL_OUTCOME);

	rank->id = short_text(table, slot, COL_ID);
	if (its_outcome == NULL || rank->id == NULL)
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
is_better(const ActionRank *rank, const ActionRank *other)
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
 * Take the row in a slot as the result of a search, in the current memory context.
 * Values that older rows lack come from the table's definition, so the row is made anew.
 */
static void
take_row(const AuditTable *table, ActionSearch *search, TupleTableSlot *slot,
		 const ActionRank *rank)
{
	TupleDesc desc = RelationGetDescr(table->rel);
	Datum *values = palloc(desc->natts * sizeof(Datum));
	bool *nulls = palloc(desc->natts * sizeof(bool));

	slot_getallattrs(slot);
	heap_deform_tuple(heap_form_tuple(desc, slot->tts_values, slot->tts_isnull), desc, values,
					  nulls);
	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
	{
		AttrNumber place = table->columns[column];

		search->nulls[column] = place == InvalidAttrNumber || nulls[place - 1];
		search->values[column] = search->nulls[column] ? (Datum) 0 : values[place - 1];
	}
	search->found_in = RelationGetRelid(table->rel);
	search->best = *rank;
	search->best.id = DatumGetTextPP(search->values[COL_ID]); /* the slot gets the next row */
	search->from = Max(search->from, rank->dispatched_at);
}

/*
 * Look through the rows that a scan finds; see SearchActionIndex.
 */
static bool
pick_record(const AuditTable *table, IndexScanDesc scan, TupleTableSlot *slot, ActionSearch *search)
{
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		ActionRank rank;
		bool counts, has_no_time;

		CHECK_FOR_INTERRUPTS();
		rank.dispatched_at = DatumGetTimestampTz(
			slot_getattr(slot, table->columns[COL_DISPATCHED_AT], &has_no_time));
		if (!search->at_any_time &&
			(has_no_time || rank.dispatched_at < search->from || rank.dispatched_at > search->to))
			continue;
		if (has_no_time || !read_rank(table, slot, search->outcome, &rank, &counts))
			return false;
		if (counts && (!OidIsValid(search->found_in) || is_better(&rank, &search->best)))
			take_row(table, search, slot, &rank);
	}
	return true;
}

/*
 * Look through the rows of a search's action in a table, or a partition, which must be
 * stored as a heap, with the active snapshot; if a row is to be taken rather than what
 * the search has found so far, it becomes the result.  Returns false if it takes a
 * statement to do that; then the result is undefined.
 */
bool
SearchActionIndex(const AuditTable *table, ActionSearch *search)
{
	Relation index = open_action_index(table);
	ScanKeyData key;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	bool done;

	if (index == NULL)
		return false;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0],
						   F_TEXTEQ, search->action_id);
	slot = table_slot_create(table->rel, NULL);
	scan = ActeonIndexBeginScan(table->rel, index, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	done = pick_record(table, scan, slot, search);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return done;
}
