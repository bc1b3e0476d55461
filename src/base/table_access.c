/*
 * table_access.c
 *		The extension's own tables: how rows get in and are found.
 *
 * Rows are written without SPI, straight through the table and index access
 * methods, as COPY does it.  What is declared on a table still holds: check
 * constraints are evaluated, every index is kept, triggers run or are refused
 * (triggers.c), and a table that is published needs its replica identity.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/constraints.h"
#include "base/error_reason.h"
#include "base/one_owner.h"
#include "base/partition.h"
#include "base/partial_index.h"
#include "base/table_access.h"
#include "base/text.h"
#include "base/triggers.h"

/*
 * Refuse objects that were created by the script of an earlier version than the
 * library's; detail, which may be NULL, says how this was detected.
 */
ACTEON_NORETURN static void
refuse_older(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_VERSION_MISMATCH),
			 errmsg("the objects of extension acteon_replay are older than its library"),
			 detail == NULL ? 0 : errdetail_internal("%s", detail),
			 errhint("Run ALTER EXTENSION acteon_replay UPDATE.")));
}

/*
 * The same, where nothing more is to be said.
 */
void
RefuseOlderObjects(void)
{
	refuse_older(NULL);
}

/*
 * Lock a table for writing; see below.
 */
static void
lock_for_writing(Oid relid)
{
	Relation rel = table_open(relid, RowExclusiveLock);

	CheckRules(rel);
	table_close(rel, NoLock);
}

/*
 * Lock tables that a call is going to write, WRITES_… in one set, before the call
 * reads them: who holds an index and then asks for the right to write its table can
 * meet a REINDEX, which holds the table and waits for the index.  All calls lock in
 * the same order, so that they do not meet two of them either.  Refuses tables with
 * rules, also on behalf of the call's statements.
 *
 * Of what is kept in parts, only the one in use is locked, as a purge may be emptying
 * another, unless WRITES_ALL_PARTS is in the set: for a call whose statements read all
 * of them and whose rows may be in any.
 */
void
LockForWriting(Oid schema, int tables)
{
	static const char *const names[] = {
		INSTALLATION_TABLE,    OUTBOX_TABLE,     SEGMENT_TABLE, BATCH_TABLE,
		DELIVERY_TABLE,        TALLY_TABLE,      ACTION_TABLE,  API_ANSWERS_TABLE,
		LIMIT_TABLE,           REFUSED_TABLE,    LOG_TABLE,     REMOVAL_TABLE,
		TRAIL_TABLE,           TRAIL_HEAD_TABLE, NOTIFY_TABLE,  POLICY_TABLE,
		POLICY_PROVIDER_TABLE, RELAY_TABLE};

	for (int i = 0; i < lengthof(names); i++)
	{
		bool parted = ((1 << i) & (WRITES_OUTBOX | WRITES_DELIVERIES)) != 0;

		if ((tables & (1 << i)) == 0)
			continue;
		if (parted && (tables & WRITES_ALL_PARTS) != 0)
		{
			for (int part = 0; part < PARTITIONS; part++)
				lock_for_writing(PartitionTable(schema, names[i], part));
		}
		else
			lock_for_writing(
				PartitionTable(schema, names[i], parted ? RangeInUse(schema) % PARTITIONS : 0));
	}
}

/*
 * The schema of the function that is called, where the extension's objects are.
 * Refuses objects of version 1.0, which lack what statements of this one name, and tables
 * of several owners.
 */
Oid
CalledSchema(FunctionCallInfo fcinfo)
{
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);

	if (!OidIsValid(get_relname_relid(ACTION_TABLE, schema)) &&
		OidIsValid(get_relname_relid(SEGMENT_TABLE, schema)))
		RefuseOlderObjects();
	RequireOneOwner(schema);
	return schema;
}

/*
 * Whether a name is that of one of our tables or of a part of it (partition.c).
 */
static bool
is_or_is_part_of(const char *name, const char *table)
{
	size_t length = strlen(table);

	return strncmp(name, table, length) == 0 &&
		   (name[length] == '\0' ||
			(name[length] == '_' && name[length + 1] >= '0' && name[length + 1] <= '9'));
}

/*
 * Find out where the columns of one of our tables stand.  Those that an update has
 * added stand together, behind what others had added to the table of version 1.0
 * before, and behind what they have dropped since.  Returns false if they are not
 * there: the extension's script is older than this library.
 */
bool
TableColumns(Relation rel, OwnColumns *columns)
{
	static const struct
	{
		const char *name;
		AttrNumber behind;
		const char *first; /* of those that were added */
	} tables[] = {{OUTBOX_TABLE, Anum_outbox_ends_at, "expires_at"},
				  {SEGMENT_TABLE, Anum_segment_holder, "resend"},
				  {DELIVERY_TABLE, Anum_delivery_error, "effect"},
				  {BATCH_TABLE, Anum_batch_stop_reason, "on_doubt"},
				  {TALLY_TABLE, Anum_tally_actions, "effect"},
				  {LOG_TABLE, Anum_log_details, "api_key"},
				  {INSTALLATION_TABLE, Anum_installation_namespace, "server"}};
	TupleDesc desc = RelationGetDescr(rel);

	*columns = (OwnColumns){.behind = MaxAttrNumber, .by = 0};
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!is_or_is_part_of(RelationGetRelationName(rel), tables[i].name))
			continue;
		for (AttrNumber place = tables[i].behind; place < desc->natts; place++)
		{
			Form_pg_attribute column = TupleDescAttr(desc, place);

			if (!column->attisdropped && strcmp(NameStr(column->attname), tables[i].first) == 0)
			{
				columns->behind = tables[i].behind;
				columns->by = place - tables[i].behind;
				return true;
			}
		}
		return false;
	}
	return true;
}

/*
 * Whether statements compare the values of a column, if a table of ours has it.
 */
static bool
is_compared(const char *column)
{
	static const char *const compared[] = {"tenant", "namespace",       "provider", "action_type",
										   "state",  "outcome",         "effect",   "stopped",
										   "name",   "idempotency_key", "target"};

	for (int i = 0; i < lengthof(compared); i++)
	{
		if (strcmp(column, compared[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Refuse a table one of whose columns has been given a collation that takes different
 * texts for the same: tenants and ids are told apart by every byte.  What others have
 * added may have any.
 */
static void
refuse_collations(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || HasExactCollation(column) ||
			!is_compared(NameStr(column->attname)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errreason(CODE_BROKEN_INSTALLATION),
				 errmsg("column \"%s\" of table \"%s\" has a nondeterministic collation",
						NameStr(column->attname), RelationGetRelationName(rel)),
				 errhint("Give it a deterministic one: ALTER TABLE ... ALTER COLUMN ... TYPE text "
						 "COLLATE pg_catalog.\"default\".")));
	}
}

/*
 * Find out where the columns of a table stand that must be the present version's, and
 * that can be read and written as it is.
 */
static OwnColumns
present_columns(Relation rel)
{
	OwnColumns columns;

	if (!TableColumns(rel, &columns))
		RefuseOlderObjects();
	refuse_collations(rel);
	return columns;
}

/*
 * Open a table for inserting, or also for updating and deleting if changes is
 * true.  Refuses one with triggers for that which would not run, one with rules, and
 * one with generated columns, which would not be computed.
 */
void
OpenWriter(TableWriter *writer, Oid relid, bool changes)
{
	writer->rel = table_open(relid, RowExclusiveLock);
	writer->columns = present_columns(writer->rel);
	CheckRules(writer->rel);
	CheckTriggers(writer->rel, changes);
	if (writer->rel->rd_att->constr != NULL && writer->rel->rd_att->constr->has_generated_stored)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errreason(CODE_BROKEN_INSTALLATION),
			 errmsg("table \"%s\" has a generated column, which acteon_replay would not compute",
					RelationGetRelationName(writer->rel)),
			 errhint("Use an index on the expression, or a view.")));
	writer->estate = CreateExecutorState();
	writer->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->rri, writer->rel, 0, NULL, 0);
	ExecOpenIndices(writer->rri, false);
	PrepareConstraints(writer->rri, writer->estate);
}

/*
 * Done with writing.  The lock stays until the transaction ends.
 */
void
CloseWriter(TableWriter *writer)
{
	ExecCloseIndices(writer->rri);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}

/*
 * Whether an index keeps the values of one column unique.
 */
static bool
is_unique_index_on(Relation index, AttrNumber column)
{
	Form_pg_index form = index->rd_index;

	return form->indisunique && form->indimmediate && form->indisvalid && form->indnkeyatts == 1 &&
		   form->indkey.values[0] == column && !IsPartialIndex(index);
}

ACTEON_NORETURN static void
report_missing_index(Relation rel, AttrNumber column)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errreason(CODE_BROKEN_INSTALLATION),
					errmsg("table \"%s\" has lost its unique index on column \"%s\"",
						   RelationGetRelationName(rel),
						   NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname)),
					errhint("Create it again: it is what prevents double replays.")));
}

/*
 * Swap two of the indexes that are open for writing.
 */
static void
swap_indexes(ResultRelInfo *rri, int a, int b)
{
	Relation index = rri->ri_IndexRelationDescs[a];
	IndexInfo *info = rri->ri_IndexRelationInfo[a];

	rri->ri_IndexRelationDescs[a] = rri->ri_IndexRelationDescs[b];
	rri->ri_IndexRelationInfo[a] = rri->ri_IndexRelationInfo[b];
	rri->ri_IndexRelationDescs[b] = index;
	rri->ri_IndexRelationInfo[b] = info;
}

/*
 * Make the unique index on a column the place-th of the writer's indexes, for
 * InsertIndexEntry.
 */
void
PutIndexFirst(TableWriter *writer, int place, AttrNumber column)
{
	ResultRelInfo *rri = writer->rri;

	column = ColumnPlace(writer->columns, column);
	for (int i = place; i < rri->ri_NumIndices; i++)
	{
		if (!is_unique_index_on(rri->ri_IndexRelationDescs[i], column))
			continue;
		swap_indexes(rri, place, i);
		return;
	}
	report_missing_index(writer->rel, column);
}

/*
 * Make the block range index on a column the writer's first one, if it has one that
 * covers all rows.  Returns the number of such indexes, 0 or 1, for
 * InsertOtherIndexEntries: rows of one page with the same value need one entry.
 */
int
PutBlockIndexFirst(TableWriter *writer, AttrNumber column)
{
	ResultRelInfo *rri = writer->rri;

	column = ColumnPlace(writer->columns, column);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation index = rri->ri_IndexRelationDescs[i];
		Form_pg_index form = index->rd_index;

		if (index->rd_rel->relam != BRIN_AM_OID || form->indnkeyatts != 1 ||
			form->indkey.values[0] != column || !form->indisvalid || IsPartialIndex(index))
			continue;
		swap_indexes(rri, 0, i);
		return 1;
	}
	return 0;
}

/*
 * Make the entry of a row in the place-th index.  With UNIQUE_CHECK_PARTIAL,
 * returns false, after making it, if another row may have the key.
 */
bool
InsertIndexEntry(TableWriter *writer, int place, Datum key, ItemPointer tid, IndexUniqueCheck check)
{
	bool isnull = false;

	return index_insert(writer->rri->ri_IndexRelationDescs[place], &key, &isnull, tid, writer->rel,
						check, false, writer->rri->ri_IndexRelationInfo[place]);
}

/*
 * Make the entries of the row in a slot in all indexes but the first ones,
 * which are done: those that a DBA has added to the table.
 */
void
InsertOtherIndexEntries(TableWriter *writer, int done, TupleTableSlot *slot)
{
	ResultRelInfo *rri = writer->rri;

	if (rri->ri_NumIndices == done)
		return;
	rri->ri_NumIndices -= done;
	rri->ri_IndexRelationDescs += done;
	rri->ri_IndexRelationInfo += done;
	ActeonInsertIndexTuples(rri, slot, writer->estate);
	rri->ri_NumIndices += done;
	rri->ri_IndexRelationDescs -= done;
	rri->ri_IndexRelationInfo -= done;
}

/*
 * Let go of what the writer's indexes keep from one insertion to the next: before
 * the end of the subtransaction in which it was read.  If that was rolled back, it
 * has gone already.
 */
void
ForgetInsertions(TableWriter *writer, bool rolled_back)
{
	ResultRelInfo *rri = writer->rri;

	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		if (rolled_back)
			rri->ri_IndexRelationInfo[i]->ii_AmCache = NULL;
		else
			ActeonIndexInsertCleanup(rri->ri_IndexRelationDescs[i], rri->ri_IndexRelationInfo[i]);
	}
}

/*
 * Raise the error of a constraint that the row in a slot violates.
 */
void
CheckRow(TableWriter *writer, TupleTableSlot *slot)
{
	slot->tts_tableOid = RelationGetRelid(writer->rel);
	if (writer->rel->rd_att->constr != NULL)
		ExecConstraints(writer->rri, slot, writer->estate);
}

/*
 * Insert the row in a slot.
 */
void
InsertSlot(TableWriter *writer, TupleTableSlot *slot)
{
	CheckRow(writer, slot);
	table_tuple_insert(writer->rel, slot, GetCurrentCommandId(true), 0, NULL);
	InsertOtherIndexEntries(writer, 0, slot);
	ResetPerTupleExprContext(writer->estate);
	FireInserted(writer->rel, &slot, 1);
}

/*
 * Insert the rows in some slots, which CheckRow has passed, and clear them.
 */
void
InsertSlots(TableWriter *writer, TupleTableSlot **slots, int count)
{
	if (count == 0)
		return;
	table_multi_insert(writer->rel, slots, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < count; i++)
	{
		InsertOtherIndexEntries(writer, 0, slots[i]);
		ResetPerTupleExprContext(writer->estate);
	}
	FireInserted(writer->rel, slots, count);
	for (int i = 0; i < count; i++)
		ExecClearTuple(slots[i]);
}

/*
 * Insert the row in a slot so that every snapshot shows it.  The table must have been
 * truncated in this transaction.
 */
void
InsertFrozen(TableWriter *writer, TupleTableSlot *slot)
{
	slot->tts_tableOid = RelationGetRelid(writer->rel);
	table_tuple_insert(writer->rel, slot, GetCurrentCommandId(true), TABLE_INSERT_FROZEN, NULL);
	InsertOtherIndexEntries(writer, 0, slot);
	ResetPerTupleExprContext(writer->estate);
}

/*
 * Insert one row; columns that were added after ours become NULL.
 */
void
InsertRow(TableWriter *writer, const Datum *values, const bool *nulls, int count)
{
	TupleTableSlot *slot = table_slot_create(writer->rel, NULL);

	FillSlot(writer, slot, values, nulls, count);
	InsertSlot(writer, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Whether a row could be changed; raises an error if the result shows that
 * something is broken.
 */
static bool
was_changed(TableWriter *writer, TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_SelfModified: /* earlier in this command */
		case TM_Invisible:    /* by this command, which has read it before */
		case TM_Updated:
		case TM_Deleted:
		case TM_BeingModified:
		case TM_WouldBlock:
			return false;
		default:
			elog(ERROR, "unexpected result %d of changing a row of \"%s\"", (int) result,
				 RelationGetRelationName(writer->rel));
	}
}

/*
 * Lock the row version at tid for changing it.  Returns false if another
 * transaction has changed it, or is about to; with wait, one that is about to
 * is waited for first.  The slot is overwritten.
 */
bool
HoldRow(TableWriter *writer, ItemPointer tid, TupleTableSlot *slot, bool wait)
{
	TM_FailureData failure;

	return was_changed(writer, table_tuple_lock(writer->rel, tid, SnapshotAny, slot,
												GetCurrentCommandId(false), LockTupleNoKeyExclusive,
												wait ? LockWaitBlock : LockWaitSkip, 0, &failure));
}

/*
 * Replace the row version at tid by the row in a slot.  Waits for transactions
 * that are changing it; returns false if it was changed.
 */
bool
UpdateRow(TableWriter *writer, ItemPointer tid, TupleTableSlot *slot)
{
	TM_FailureData failure;
	LockTupleMode lock_mode;
	ActeonUpdatedIndexes updated;

	CheckCmdReplicaIdentity(writer->rel, CMD_UPDATE);
	CheckRow(writer, slot);
	/* The heap does not know how to update without waiting. */
	if (!was_changed(writer, table_tuple_update(writer->rel, tid, slot, GetCurrentCommandId(true),
												InvalidSnapshot, InvalidSnapshot, true, &failure,
												&lock_mode, &updated)))
		return false;
	(void) ActeonUpdateIndexTuples(writer->rri, slot, writer->estate, updated);
	ResetPerTupleExprContext(writer->estate);
	FireUpdated(writer->rel, tid, slot);
	return true;
}

/*
 * Delete the row version at tid, with the same answer.
 */
bool
DeleteRow(TableWriter *writer, ItemPointer tid)
{
	TM_FailureData failure;

	CheckCmdReplicaIdentity(writer->rel, CMD_DELETE);
	if (!was_changed(writer,
					 table_tuple_delete(writer->rel, tid, GetCurrentCommandId(true),
										InvalidSnapshot, InvalidSnapshot, true, &failure, false)))
		return false;
	FireDeleted(writer->rel, tid);
	return true;
}

/*
 * Give some columns of the row in a slot, which was read, new values.  Returns
 * false, having changed nothing, if another transaction has changed the row, or
 * is about to; with wait, one that is about to is waited for first.
 */
bool
ChangeRow(TableWriter *writer, TupleTableSlot *row, int count, const AttrNumber *columns,
		  const Datum *values, const bool *nulls, bool wait)
{
	ItemPointerData tid = row->tts_tid;
	TupleTableSlot *slot = table_slot_create(writer->rel, NULL);
	int natts = RelationGetDescr(writer->rel)->natts;
	bool changed;

	changed = HoldRow(writer, &tid, slot, wait);
	if (changed)
	{
		slot_getallattrs(row);
		ExecClearTuple(slot);
		memcpy(slot->tts_values, row->tts_values, natts * sizeof(Datum));
		memcpy(slot->tts_isnull, row->tts_isnull, natts * sizeof(bool));
		for (int i = 0; i < count; i++)
		{
			AttrNumber place = ColumnPlace(writer->columns, columns[i]);

			slot->tts_values[place - 1] = values[i];
			slot->tts_isnull[place - 1] = nulls[i];
		}
		ExecStoreVirtualTuple(slot);
		changed = UpdateRow(writer, &tid, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	return changed;
}

/*
 * Whether an index has the given rows.
 */
static bool
has_rows(Relation index, OwnColumns columns, IndexRows rows)
{
	Node *condition;
	NullTest *test;

	if (rows.column == InvalidAttrNumber || !IsPartialIndex(index))
		return rows.column == InvalidAttrNumber && !IsPartialIndex(index);
	condition = IndexCondition(index);
	if (!IsA(condition, NullTest))
		return false;
	test = castNode(NullTest, condition);
	return test->nulltesttype == (rows.null ? IS_NULL : IS_NOT_NULL) && IsA(test->arg, Var) &&
		   ((Var *) test->arg)->varattno == ColumnPlace(columns, rows.column);
}

/*
 * Whether an index has the plain order of the given columns, and the given rows.
 */
static bool
has_order(Relation index, OwnColumns own, IndexRows rows, int columns, const AttrNumber *column)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || form->indnkeyatts < columns)
		return false;
	for (int i = 0; i < columns; i++)
	{
		if (form->indkey.values[i] != ColumnPlace(own, column[i]) || index->rd_indoption[i] != 0)
			return false;
	}
	return has_rows(index, own, rows);
}

ACTEON_NORETURN static void
report_missing_order(Relation rel, OwnColumns columns, AttrNumber column)
{
	AttrNumber place = ColumnPlace(columns, column);

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errreason(CODE_BROKEN_INSTALLATION),
					errmsg("table \"%s\" has lost its index on column \"%s\"",
						   RelationGetRelationName(rel),
						   NameStr(TupleDescAttr(RelationGetDescr(rel), place - 1)->attname)),
					errhint("Create it again as CREATE EXTENSION does.")));
}

/*
 * The writer's index that has the order of the given columns; see has_order.
 */
Relation
WriterIndex(TableWriter *writer, IndexRows rows, int columns, const AttrNumber *column)
{
	for (int i = 0; i < writer->rri->ri_NumIndices; i++)
	{
		Relation index = writer->rri->ri_IndexRelationDescs[i];

		if (has_order(index, writer->columns, rows, columns, column))
			return index;
	}
	report_missing_order(writer->rel, writer->columns, column[0]);
}

/*
 * Open a table for reading in the order of an index on the given columns; see
 * has_order.  The lock does not conflict with those of other users.
 */
void
OpenReader(TableReader *reader, Oid relid, IndexRows rows, int columns, const AttrNumber *column)
{
	ListCell *lc;
	List *indexes;

	reader->rel = table_open(relid, AccessShareLock);
	reader->columns = present_columns(reader->rel);
	reader->index = NULL;
	indexes = RelationGetIndexList(reader->rel);
	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		if (has_order(index, reader->columns, rows, columns, column))
		{
			reader->index = index;
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	if (reader->index == NULL)
		report_missing_order(reader->rel, reader->columns, column[0]);
	reader->slot = table_slot_create(reader->rel, NULL);
	reader->scan = NULL;
}

/*
 * Begin to read the rows that a snapshot shows, of some keys, with
 * index_getnext_slot.
 */
void
BeginReading(TableReader *reader, Snapshot snapshot, ScanKey keys, int count)
{
	reader->scan = ActeonIndexBeginScan(reader->rel, reader->index, snapshot, count);
	index_rescan(reader->scan, keys, count, NULL, 0);
}

/*
 * Done with reading.
 */
void
CloseReader(TableReader *reader)
{
	if (reader->scan != NULL)
		index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, AccessShareLock);
	table_close(reader->rel, AccessShareLock);
}

/*
 * Put the columns of a row into a slot of its table; columns that others
 * have added become NULL.
 */
void
FillSlot(const TableWriter *writer, TupleTableSlot *slot, const Datum *values, const bool *nulls,
		 int count)
{
	int natts = slot->tts_tupleDescriptor->natts;
	int front = Min(count, writer->columns.behind);
	int gap = front + writer->columns.by;

	ExecClearTuple(slot);
	memset(slot->tts_values, 0, natts * sizeof(Datum));
	memset(slot->tts_isnull, true, natts * sizeof(bool));
	memcpy(slot->tts_values, values, front * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, front * sizeof(bool));
	memcpy(slot->tts_values + gap, values + front, (count - front) * sizeof(Datum));
	memcpy(slot->tts_isnull + gap, nulls + front, (count - front) * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

/*
 * Open the table of a finder, and begin the scan that is to be kept.
 */
static void
open_finder(TableFinder *finder, Oid relid)
{
	List *indexes;
	ListCell *lc;

	finder->rel = table_open(relid, AccessShareLock);
	finder->columns = present_columns(finder->rel);
	finder->index = NULL;
	indexes = RelationGetIndexList(finder->rel);
	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		if (is_unique_index_on(index, finder->column))
		{
			finder->index = index;
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	if (finder->index == NULL)
		report_missing_index(finder->rel, finder->column);
	finder->slot = table_slot_create(finder->rel, NULL);
	finder->kept = NULL;
	if (finder->kept_with == NULL)
		return;
	MemoryContextSwitchTo(finder->context);
	finder->kept = ActeonIndexBeginScan(finder->rel, finder->index, finder->kept_with, 1);
}

/*
 * Close it.
 */
static void
close_finder(TableFinder *finder)
{
	if (finder->rel == NULL)
		return;
	if (finder->kept != NULL)
		index_endscan(finder->kept);
	ExecDropSingleTupleTableSlot(finder->slot);
	index_close(finder->index, AccessShareLock);
	table_close(finder->rel, AccessShareLock);
	finder->rel = NULL;
	finder->slot = NULL;
}

/*
 * Open a table for finding rows by a unique column.
 */
void
OpenFinder(TableFinder *finder, Oid relid, AttrNumber column)
{
	*finder = (TableFinder){.column = column};
	open_finder(finder, relid);
}

/*
 * The same for a table that is kept in parts, whose unique column is the id of the
 * outbox.  Nothing is open, so there is no slot, until the first search.
 */
void
OpenPartedFinder(TableFinder *finder, Oid schema, const char *table, AttrNumber column)
{
	*finder = (TableFinder){.column = column,
							.schema = schema,
							.parted = table,
							.home = CurrentMemoryContext,
							.owner = CurrentResourceOwner};
}

/*
 * Open the part that a key is in, if it is not open.  It belongs to whom the finder
 * belongs to, also in a subtransaction.
 */
void
TurnFinder(TableFinder *finder, int64 key)
{
	int partition = PartitionOfId(key);
	MemoryContext context;
	ResourceOwner owner = CurrentResourceOwner;

	if (finder->rel != NULL && finder->partition == partition)
		return;
	context = MemoryContextSwitchTo(finder->home);
	CurrentResourceOwner = finder->owner;
	close_finder(finder);
	open_finder(finder, PartitionTable(finder->schema, finder->parted, partition));
	finder->partition = partition;
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(context);
}

/*
 * Keep one scan for all searches by equality that follow, in the current memory
 * context; they must be made with this snapshot.  For those who search often and
 * never wait for anybody: between two searches a buffer may stay pinned.
 */
void
KeepScan(TableFinder *finder, Snapshot snapshot)
{
	finder->context = CurrentMemoryContext;
	finder->kept_with = snapshot;
	if (finder->rel != NULL)
		finder->kept = ActeonIndexBeginScan(finder->rel, finder->index, snapshot, 1);
}

/*
 * Done with finding.
 */
void
CloseFinder(TableFinder *finder)
{
	close_finder(finder);
}

/*
 * Find the row of a key that a snapshot shows; equal is the function of the
 * column type's equality operator.  Its columns stay readable with FoundColumn
 * until the next search.
 */
bool
FindRow(TableFinder *finder, RegProcedure equal, Datum key, Snapshot snapshot)
{
	ScanKeyData scan_key;
	IndexScanDesc scan;
	MemoryContext caller = CurrentMemoryContext;
	bool found;

	if (finder->parted != NULL)
		TurnFinder(finder, DatumGetInt64(key));
	scan = finder->kept;
	ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, equal, key);
	scan_key.sk_collation = finder->index->rd_indcollation[0];
	ExecClearTuple(finder->slot);
	/* An index keeps what it allocates during a search, such as its list of dead
	 * entries, until the end of the scan. */
	if (scan != NULL)
		MemoryContextSwitchTo(finder->context);
	else
		scan = ActeonIndexBeginScan(finder->rel, finder->index, snapshot, 1);
	Assert(scan->xs_snapshot == snapshot);
	index_rescan(scan, &scan_key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, finder->slot);
	if (scan != finder->kept)
		index_endscan(scan);
	MemoryContextSwitchTo(caller);
	return found;
}

/*
 * The same for the row with the greatest bigint key above one bound and not
 * above another.
 */
bool
FindLastRow(TableFinder *finder, int64 above, int64 up_to, Snapshot snapshot)
{
	ScanKeyData keys[2];
	IndexScanDesc scan;
	bool found;

	ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(above));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(up_to));
	ExecClearTuple(finder->slot);
	scan = ActeonIndexBeginScan(finder->rel, finder->index, snapshot, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	found = index_getnext_slot(scan, BackwardScanDirection, finder->slot);
	index_endscan(scan);
	return found;
}

/*
 * A column of the row that was found last.
 */
Datum
FoundColumn(TableFinder *finder, AttrNumber column, bool *isnull)
{
	return slot_getattr(finder->slot, ColumnPlace(finder->columns, column), isnull);
}
