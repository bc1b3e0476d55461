/*
 * constraints.c
 *		Check constraints of our tables, read once a session.
 *
 * The server keeps a check constraint as the text of its expression's nodes, and
 * reads that anew for every statement that writes (ExecRelCheck in execMain.c).  Our
 * calls are many and small, so that reading took a tenth of their time.  The nodes are
 * kept for the session here, until the relation changes.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/constraints.h"

/* Tables whose constraints are kept at most: there are not so many of ours. */
#define MAX_TABLES 16

/* What is kept of a table. */
typedef struct KeptConstraints
{
	Oid relid; /* InvalidOid: the place is free */
	MemoryContext context;
	int count;
	Node **expressions; /* NULL: not to be checked */
} KeptConstraints;

static KeptConstraints kept[MAX_TABLES];
static bool has_callback = false;

/*
 * Free the constraints of a table that are forgotten.  Who writes the table at the
 * moment still uses them, since VACUUM, ANALYZE and REINDEX CONCURRENTLY change a
 * relation beneath a writer: they stay until the end of the transaction.
 */
static void
free_constraints(MemoryContext context)
{
	if (TopTransactionContext != NULL)
		MemoryContextSetParent(context, TopTransactionContext);
	else
		MemoryContextDelete(context);
}

/*
 * Forget the constraints of a relation that has changed, or of all.
 */
static void
forget_constraints(Datum argument, Oid relid)
{
	for (int i = 0; i < MAX_TABLES; i++)
	{
		if (!OidIsValid(kept[i].relid) || (OidIsValid(relid) && kept[i].relid != relid))
			continue;
		free_constraints(kept[i].context);
		kept[i] = (KeptConstraints){0};
	}
}

/*
 * A free place.  With none left, all are forgotten.
 */
static KeptConstraints *
free_place(void)
{
	for (int i = 0; i < MAX_TABLES; i++)
	{
		if (!OidIsValid(kept[i].relid))
			return &kept[i];
	}
	forget_constraints((Datum) 0, InvalidOid);
	return &kept[0];
}

/*
 * Read the constraints of a table, and keep them.
 */
static KeptConstraints *
read_constraints(Relation rel)
{
	TupleConstr *constr = rel->rd_att->constr;
	KeptConstraints *place = free_place();
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "acteon_replay constraints",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Node **expressions = palloc0(constr->num_check * sizeof(Node *));

	for (int i = 0; i < constr->num_check; i++)
	{
		if (ActeonIsEnforced(&constr->check[i]))
			expressions[i] = stringToNode(constr->check[i].ccbin);
	}
	MemoryContextSwitchTo(old);
	if (!has_callback)
		CacheRegisterRelcacheCallback(forget_constraints, (Datum) 0);
	has_callback = true;
	MemoryContextSetParent(context, CacheMemoryContext);
	place->relid = RelationGetRelid(rel);
	place->context = context;
	place->count = constr->num_check;
	place->expressions = expressions;
	return place;
}

/*
 * The kept constraints of a table, read now if need be.
 */
static KeptConstraints *
find_constraints(Relation rel)
{
	for (int i = 0; i < MAX_TABLES; i++)
	{
		if (kept[i].relid == RelationGetRelid(rel))
			return &kept[i];
	}
	return read_constraints(rel);
}

/*
 * Prepare the check constraints of a table that is about to be written, for
 * ExecConstraints.
 */
void
PrepareConstraints(ResultRelInfo *rri, EState *estate)
{
	Relation rel = rri->ri_RelationDesc;
	MemoryContext old;
	ExprState **states;
	KeptConstraints *constraints;

	if (rel->rd_att->constr == NULL || rel->rd_att->constr->num_check == 0)
		return;
	constraints = find_constraints(rel);
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	states = palloc0(constraints->count * sizeof(ExprState *));
	for (int i = 0; i < constraints->count; i++)
	{
		if (constraints->expressions[i] != NULL)
			states[i] = ExecPrepareExpr((Expr *) constraints->expressions[i], estate);
	}
	ActeonConstraintStates(rri) = states;
	MemoryContextSwitchTo(old);
}
