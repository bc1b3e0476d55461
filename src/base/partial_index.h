/*
 * partial_index.h
 *		Conditions of indexes, as they are stored.
 *
 * The server's RelationGetIndexPredicate evaluates what in a condition does not depend
 * on the row.  So it runs functions that the table's owner may have planted there, as
 * the current user; these do not.
 */
#ifndef ACTEON_PARTIAL_INDEX_H
#define ACTEON_PARTIAL_INDEX_H

#include "access/htup_details.h"
#include "catalog/pg_index.h"
#include "nodes/nodes.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * Whether an index has a condition.
 */
static inline bool
IsPartialIndex(Relation index)
{
	return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/*
 * The condition of a partial index.
 */
static inline Node *
IndexCondition(Relation index)
{
	bool isnull;
	Datum condition =
		SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indpred, &isnull);

	return stringToNode(TextDatumGetCString(condition));
}

#endif /* ACTEON_PARTIAL_INDEX_H */
