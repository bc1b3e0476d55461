/*
 * find_record.c
 *		Finding the record of an action without a statement.
 *
 * A single replay reads one row.  A statement for that takes eight times as long as
 * the row itself, so where a statement would do nothing else than follow the index on
 * action ids, the index is followed here: on a table that is stored as a heap, which
 * has no policies and no children, if its owner may read it and nobody watches what is
 * read.
 *
 * The same is done for the partitions of a table that is partitioned by time, from the
 * newest on.  A statement would be planned for all of them; here each is opened when
 * its turn comes, and those that are older than the record are neither opened nor
 * locked.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/acl.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/find_record.h"
#include "audit/time_steps.h"
#include "base/compat.h"
#include "base/identity.h"

/*
 * Whether a statement would read the rows of a table as they are: of a partitioned
 * one, those of its partitions, whose own policies and privileges do not count then.
 */
static bool
is_open_to_owner(const AuditTable *table)
{
	return !table->rel->rd_rel->relrowsecurity && ExecutorCheckPerms_hook == NULL &&
		   pg_class_aclcheck(RelationGetRelid(table->rel), table->owner, ACL_SELECT) ==
			   ACLCHECK_OK &&
		   ActeonMayUseSchema(RelationGetNamespace(table->rel), table->owner);
}

/*
 * Whether a table has all its rows in a heap that this session can read.
 */
static bool
is_stored(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		   !rel->rd_rel->relhassubclass && !RELATION_IS_OTHER_TEMP(rel) &&
		   !ActeonHasComputed(RelationGetDescr(rel));
}

/*
 * Find the columns of a partition, whose places may differ from its parent's.
 */
static void
find_columns(AuditTable *part, const AuditTable *parent, Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	*part = *parent;
	part->rel = rel;
	for (RecordColumn column = 0; column < NUM_RECORD_COLUMNS; column++)
	{
		AttrNumber place = parent->columns[column];

		if (place == InvalidAttrNumber ||
			(place <= desc->natts && strcmp(NameStr(TupleDescAttr(desc, place - 1)->attname),
											RecordColumnNames[column]) == 0))
			continue;
		part->columns[column] = AuditColumn(part, RecordColumnNames[column]);
	}
}

/*
 * Whether a partition that ends with this bound may have records of a time or of later
 * ones.  The bound itself belongs to the next partition, unless other columns decide.
 */
static bool
reaches(const AuditTable *table, PartitionBoundInfo bounds, int end, TimestampTz time)
{
	TimestampTz end_time;

	if (bounds->kind[end][0] != PARTITION_RANGE_DATUM_VALUE)
		return bounds->kind[end][0] == PARTITION_RANGE_DATUM_MAXVALUE;
	end_time = DatumGetTimestampTz(bounds->datums[end][0]);
	return end_time > time ||
		   (end_time == time && RelationGetPartitionKey(table->rel)->partnatts > 1);
}

/*
 * Whether a partition that begins with this bound has only records after a time.
 */
static bool
begins_after(PartitionBoundInfo bounds, int begin, TimestampTz time)
{
	if (bounds->kind[begin][0] != PARTITION_RANGE_DATUM_VALUE)
		return bounds->kind[begin][0] == PARTITION_RANGE_DATUM_MAXVALUE;
	return DatumGetTimestampTz(bounds->datums[begin][0]) > time;
}

static bool search_partition(const AuditTable *parent, Oid relid, ActionSearch *search);

/*
 * Search the partitions of a table from the newest on, after the one for what belongs
 * to no other, which has records of any time.  Each range ends with a bound and begins
 * with the one before it.
 */
static bool
search_by_time(const AuditTable *table, PartitionDesc parts, ActionSearch *search)
{
	PartitionBoundInfo bounds = parts->boundinfo;

	if (partition_bound_has_default(bounds) &&
		!search_partition(table, parts->oids[bounds->default_index], search))
		return false;
	for (int end = bounds->ndatums - 1; end > 0; end--)
	{
		if (bounds->indexes[end] < 0 || begins_after(bounds, end - 1, search->to))
			continue;
		if (!reaches(table, bounds, end, search->from))
			break;
		if (!search_partition(table, parts->oids[bounds->indexes[end]], search))
			return false;
	}
	return true;
}

/*
 * Search the partitions of a table that may have the record.  One that is being detached
 * is left out if the active snapshot sees that, as in a statement.  To be called as the
 * owner of the audit table, since bounds may be made of functions.
 */
static bool
search_partitions(const AuditTable *table, ActionSearch *search)
{
	PartitionDesc parts = RelationGetPartitionDesc(table->rel, true);

	if (parts->nparts > 0 && IsPartitionedByTime(table))
		return search_by_time(table, parts, search);
	for (int i = 0; i < parts->nparts; i++)
	{
		if (!search_partition(table, parts->oids[i], search))
			return false;
	}
	return true;
}

/*
 * Search a partition, with those below it.  The lock on it is kept if it has the
 * record, whose values may lie beside the table.
 */
static bool
search_partition(const AuditTable *parent, Oid relid, ActionSearch *search)
{
	Relation rel = try_table_open(relid, AccessShareLock);
	AuditTable part;
	bool done;

	check_stack_depth();
	if (rel == NULL)
		return false; /* it has been detached and dropped */
	find_columns(&part, parent, rel);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		done = search_partitions(&part, search);
	else
		done = is_stored(rel) && SearchActionIndex(&part, search);
	table_close(rel, search->found_in == relid ? NoLock : AccessShareLock);
	return done;
}

/*
 * Find the row of an action's record, as AuditFindAction does, in the current memory
 * context; the search must be empty.  Returns false, having found out nothing, if it
 * takes a statement to do that: where something is not as the comment above has it, or
 * a table or partition whose turn has come has no usable index on action ids.
 */
bool
FindRecordDirectly(const AuditTable *table, ActionSearch *search)
{
	Identity caller;
	bool done;

	if (!is_open_to_owner(table))
		return false;
	if (table->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return is_stored(table->rel) && SearchActionIndex(table, search);
	SwitchIdentity(&caller, table->owner);
	done = IsPartitionedByTime(table) && search_partitions(table, search);
	RestoreIdentity(&caller);
	return done;
}
