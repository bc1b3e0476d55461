/*
 * visibility.h
 *		What a role may see of a batch.
 */
#ifndef ACTEON_VISIBILITY_H
#define ACTEON_VISIBILITY_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "access/grants.h"
#include "base/compat.h"
#include "base/identity.h"

/* Parts of an element of a batch's scope: tenant, namespace, provider, action type. */
#define SCOPE_PARTS 4

/* How much of a batch a role may see; see SightOfBatch. */
typedef enum BatchSight
{
	SEES_NOTHING,
	SEES_PART,
	SEES_WHOLE
} BatchSight;

/* Who looks; see BeginSight. */
typedef struct Viewer
{
	Oid role;
	Grants *grants;
	const char *schema; /* of the extension, quoted */
	Identity caller;
} Viewer;

/* Elements of scopes that a viewer's grants cover, as columns. */
typedef struct CoveredScope
{
	MemoryContext context; /* that it lives in */
	Datum *batch_ids;
	Datum *parts[SCOPE_PARTS]; /* texts */
	int count;
	int allocated;
} CoveredScope;

extern int64 BatchArgument(FunctionCallInfo fcinfo, int argument);
ACTEON_NORETURN extern void ReportUnknownBatch(int64 batch_id);
extern bool NextScopeElement(JsonbIterator **it, text **parts);
extern bool FindUncovered(Grants *grants, GrantPurpose purpose, Jsonb *scope, text **parts);
extern bool GrantsCoverScope(Grants *grants, GrantPurpose purpose, Jsonb *scope);
extern text *FetchedText(HeapTuple tuple, TupleDesc desc, int column);
extern bool SeesFetchedRow(Viewer *viewer, HeapTuple tuple, TupleDesc desc, int column);
extern void BeginSight(Viewer *viewer, FunctionCallInfo fcinfo);
extern void EndSight(Viewer *viewer);
extern bool SeesAllBatches(const Viewer *viewer);
extern BatchSight
SightOfBatch(Viewer *viewer, int64 batch_id, Oid requested_by, Jsonb *scope, CoveredScope *covered);

#endif /* ACTEON_VISIBILITY_H */
