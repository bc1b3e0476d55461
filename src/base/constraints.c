/*
 * constraints.c
 *		Check constraints of our tables and conditions of their partial indexes, read
 *		once a session.
 *
 * The server keeps both as the text of an expression's nodes, and reads, plans and
 * initializes that anew for every statement that writes (ExecRelCheck in execMain.c,
 * ExecInsertIndexTuples in execIndexing.c).  Our calls are many and small, so that took
 * a sixth of their time.  What comes of it is kept for the session here, until the
 * relation changes, or a function, which may have been inlined.
 */
#include "postgres.h"

#include "access/transam.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/constraints.h"

/* Tables and indexes of which something is kept at most: there are not so many of ours. */
#define MAX_RELATIONS 160

/* What is kept of a table's constraints, or of an index's condition. */
typedef struct Kept
{
	Oid relid; /* InvalidOid: the place is free */
	MemoryContext context;
	int count;
	Expr **expressions; /* planned; NULL: not to be checked */
	ExprState **states; /* initialized; NULL: that is done each time */
} Kept;

static Kept kept[MAX_RELATIONS];
static bool has_callbacks = false;

/* How often something was to be forgotten. */
static uint64 changes = 0;

/*
 * Forget what is kept of a relation that has changed, or of all.  Somebody may be using
 * it: it goes with the transaction, if there is one.
 */
static void
forget(Datum argument, Oid relid)
{
	changes++;
	for (int i = 0; i < MAX_RELATIONS; i++)
	{
		if (!OidIsValid(kept[i].relid) || (OidIsValid(relid) && kept[i].relid != relid))
			continue;
		if (TopTransactionContext == NULL)
			MemoryContextDelete(kept[i].context);
		else
			MemoryContextSetParent(kept[i].context, TopTransactionContext);
		kept[i] = (Kept){0};
	}
}

/*
 * The same when a function has changed.
 */
static void
forget_inlined(Datum argument, int cache_id, uint32 hash_value)
{
	forget(argument, InvalidOid);
}

/*
 * Whether a function is somebody's, and not the server's.
 */
static bool
is_added(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * Whether an expression has something in it that may keep what belongs to a statement
 * or a transaction once it is initialized: all but the server's own functions and
 * operators, on columns and constants.
 */
static bool
is_bound(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_BoolExpr:
		case T_BooleanTest:
		case T_RelabelType:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
			break;
		case T_NullTest:
			if (((NullTest *) node)->argisrow)
				return true;
			break;
		case T_ScalarArrayOpExpr:
			/* A hash table of the elements would be the statement's. */
			if (OidIsValid(((ScalarArrayOpExpr *) node)->hashfuncid))
				return true;
			break;
		default:
			return true;
	}
	return check_functions_in_node(node, is_added, context) ||
		   expression_tree_walker(node, is_bound, context);
}

/*
 * Initialize a planned expression, in the current memory context.  The condition of an
 * index is a list, of which all must be true.
 */
static ExprState *
initialize(Expr *expression)
{
	return IsA(expression, List) ? ExecInitQual((List *) expression, NULL)
								 : ExecInitExpr(expression, NULL);
}

/*
 * Add an expression.
 */
static void
add_expression(Kept *entry, Node *node)
{
	Expr *expression = expression_planner((Expr *) node);

	entry->expressions[entry->count] = expression;
	if (!is_bound((Node *) expression, NULL))
		entry->states[entry->count] = initialize(expression);
	entry->count++;
}

/*
 * Read the expressions of a table, or of an index.
 */
static void
read_expressions(Relation rel, Kept *entry)
{
	TupleConstr *constr = rel->rd_att->constr;
	bool is_index = rel->rd_rel->relkind == RELKIND_INDEX;
	int count = is_index ? 1 : constr->num_check;

	entry->relid = RelationGetRelid(rel);
	entry->count = 0;
	entry->expressions = palloc0(count * sizeof(Expr *));
	entry->states = palloc0(count * sizeof(ExprState *));
	if (is_index)
		add_expression(entry, (Node *) RelationGetIndexPredicate(rel));
	else
	{
		for (int i = 0; i < count; i++)
		{
			if (ActeonIsEnforced(&constr->check[i]))
				add_expression(entry,
							   ActeonComputeColumns(stringToNode(constr->check[i].ccbin), rel));
			else
				entry->count++;
		}
	}
}

/*
 * Keep what was read.  With no place left, all else is forgotten.
 */
static void
keep(const Kept *entry)
{
	int place = 0;

	while (place < MAX_RELATIONS && OidIsValid(kept[place].relid))
		place++;
	if (place == MAX_RELATIONS)
	{
		forget((Datum) 0, InvalidOid);
		place = 0;
	}
	MemoryContextSetParent(entry->context, CacheMemoryContext);
	kept[place] = *entry;
}

/*
 * What there is of a relation: kept, or else read now, and kept unless something has
 * changed meanwhile.  It lives until the end of the transaction, or of the current
 * memory context.
 */
static Kept
find_kept(Relation rel)
{
	Kept entry;
	uint64 before = changes;
	MemoryContext old;

	for (int i = 0; i < MAX_RELATIONS; i++)
	{
		if (kept[i].relid == RelationGetRelid(rel))
			return kept[i];
	}
	entry.context = AllocSetContextCreate(CurrentMemoryContext, "acteon_replay constraints",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry.context);
	read_expressions(rel, &entry);
	MemoryContextSwitchTo(old);
	if (changes == before)
		keep(&entry);
	return entry;
}

/*
 * The initialized expressions of a relation, in the current memory context.
 */
static ExprState **
initialized(Relation rel)
{
	Kept entry = find_kept(rel);
	ExprState **states = palloc(entry.count * sizeof(ExprState *));

	for (int i = 0; i < entry.count; i++)
		states[i] = entry.states[i] != NULL || entry.expressions[i] == NULL
						? entry.states[i]
						: initialize(entry.expressions[i]);
	return states;
}

/*
 * Prepare the check constraints of a table that is about to be written, for
 * ExecConstraints, and the conditions of its indexes, which are open, for
 * ExecInsertIndexTuples.
 */
void
PrepareConstraints(ResultRelInfo *rri, EState *estate)
{
	Relation rel = rri->ri_RelationDesc;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

	if (!has_callbacks)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, forget_inlined, (Datum) 0);
		has_callbacks = true;
	}
	if (rel->rd_att->constr != NULL && rel->rd_att->constr->num_check > 0)
		ActeonConstraintStates(rri) = initialized(rel);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		if (rri->ri_IndexRelationInfo[i]->ii_Predicate != NIL)
			rri->ri_IndexRelationInfo[i]->ii_PredicateState =
				initialized(rri->ri_IndexRelationDescs[i])[0];
	}
	MemoryContextSwitchTo(old);
}
