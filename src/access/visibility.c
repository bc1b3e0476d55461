/*
 * visibility.c
 *		What a role may see of a batch.
 *
 * A batch can touch several tenants.  A role that is covered for everything that
 * the batch touched sees its row; a role that is covered for a part sees the
 * counts of that part, and nothing that reveals the rest.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "access/visibility.h"
#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/table_access.h"

/*
 * Read an argument that names a batch.
 */
int64
BatchArgument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("batch_id must not be null"),
				 errhint("acteon_replay_batches lists the batches that you may see.")));
	return PG_GETARG_INT64(argument);
}

/*
 * Raise the error about a batch that is not there, or of which the caller may
 * not know.
 */
void
ReportUnknownBatch(int64 batch_id)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_BATCH),
					errmsg("batch " INT64_FORMAT " does not exist", batch_id),
					errhint("acteon_replay_batches lists the batches that you may see.")));
}

/*
 * Read the next element of a scope, an array of [tenant, namespace, provider,
 * action_type], through an iterator over it.
 */
bool
NextScopeElement(JsonbIterator **it, text **parts)
{
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	while (n < SCOPE_PARTS && (token = JsonbIteratorNext(it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_ELEM && value.type == jbvString)
			parts[n++] = cstring_to_text_with_len(value.val.string.val, value.val.string.len);
	}
	return n == SCOPE_PARTS;
}

/*
 * Whether a grant covers an element of a scope for a purpose.
 */
static bool
covers_element(Grants *grants, GrantPurpose purpose, text *const *parts)
{
	GrantTarget target = {.tenant = parts[0],
						  .namespace = parts[1],
						  .provider = parts[2],
						  .action_type = parts[3]};

	return GrantsCover(grants, purpose, &target);
}

/*
 * Find an element of a scope that grants do not cover for a purpose.
 */
bool
FindUncovered(Grants *grants, GrantPurpose purpose, Jsonb *scope, text **parts)
{
	JsonbIterator *it = JsonbIteratorInit(&scope->root);

	while (NextScopeElement(&it, parts))
	{
		if (!covers_element(grants, purpose, parts))
			return true;
	}
	return false;
}

/*
 * Whether grants cover all elements of a scope for a purpose.
 */
bool
GrantsCoverScope(Grants *grants, GrantPurpose purpose, Jsonb *scope)
{
	text *parts[SCOPE_PARTS];

	return !FindUncovered(grants, purpose, scope, parts);
}

/*
 * Begin a call that shows something: know who looks, and read as the owner of
 * the extension's tables, through SPI, until EndSight.
 */
void
BeginSight(Viewer *viewer, FunctionCallInfo fcinfo)
{
	Oid schema = CalledSchema(fcinfo);

	viewer->role = GetUserId();
	viewer->grants = LoadGrants(viewer->role, schema);
	viewer->schema = quote_identifier(get_namespace_name(schema));
	SwitchIdentity(&viewer->caller, TableOwner(OwnTable(schema, OUTBOX_TABLE)));
	/* Compiling these statements takes longer than they do. */
	SetLocally("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * End a call that shows something: be the caller again.
 */
void
EndSight(Viewer *viewer)
{
	SPI_finish();
	RestoreIdentity(&viewer->caller);
}

/*
 * Whether a viewer sees every batch: superusers do, and roles with a gateway
 * grant, because they have to monitor the queue as a whole.
 */
bool
SeesAllBatches(const Viewer *viewer)
{
	return GrantsEverything(viewer->grants) || GrantsMayDeliver(viewer->grants);
}

/*
 * Make room for one more element of what is covered.
 */
static void
grow_covered(CoveredScope *covered)
{
	Size size;

	if (covered->count < covered->allocated)
		return;
	covered->allocated = Max(16, covered->allocated * 2);
	size = covered->allocated * sizeof(Datum);
	if (covered->count == 0)
	{
		covered->batch_ids = MemoryContextAlloc(covered->context, size);
		for (int i = 0; i < SCOPE_PARTS; i++)
			covered->parts[i] = MemoryContextAlloc(covered->context, size);
		return;
	}
	covered->batch_ids = repalloc_huge(covered->batch_ids, size);
	for (int i = 0; i < SCOPE_PARTS; i++)
		covered->parts[i] = repalloc_huge(covered->parts[i], size);
}

/*
 * Add an element, of a batch, to what is covered; its texts stay where they are.
 */
static void
add_covered(CoveredScope *covered, int64 batch_id, text *const *parts)
{
	grow_covered(covered);
	covered->batch_ids[covered->count] = Int64GetDatum(batch_id);
	for (int i = 0; i < SCOPE_PARTS; i++)
		covered->parts[i][covered->count] = PointerGetDatum(parts[i]);
	covered->count++;
}

/*
 * A text of a row that SPI has fetched, in the current memory context; NULL if it is NULL.
 */
text *
FetchedText(HeapTuple tuple, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

/*
 * Whether a viewer sees a row that SPI has fetched: a grant for reading covers it.  Its
 * namespace, tenant, provider and action type are in columns from the given one on.  None
 * covers a row that lacks one of them; who needs no grant sees it.
 */
bool
SeesFetchedRow(Viewer *viewer, HeapTuple tuple, TupleDesc desc, int column)
{
	GrantTarget target = {.namespace = FetchedText(tuple, desc, column),
						  .tenant = FetchedText(tuple, desc, column + 1),
						  .provider = FetchedText(tuple, desc, column + 2),
						  .action_type = FetchedText(tuple, desc, column + 3)};

	if (target.namespace == NULL || target.tenant == NULL || target.provider == NULL ||
		target.action_type == NULL)
		return GrantsEverything(viewer->grants);
	return GrantsCover(viewer->grants, GRANT_READ, &target);
}

/*
 * Keep the texts of the elements from a place on.
 */
static void
keep_covered(CoveredScope *covered, int from)
{
	MemoryContext old = MemoryContextSwitchTo(covered->context);

	for (int n = from; n < covered->count; n++)
	{
		for (int i = 0; i < SCOPE_PARTS; i++)
			covered->parts[i][n] = datumCopy(covered->parts[i][n], false, -1);
	}
	MemoryContextSwitchTo(old);
}

/*
 * How much of a batch a viewer sees.
 *
 * All of it: roles that see all batches, roles whose grants for reading (admin,
 * operator, viewer) cover every element of its scope, and the role that started
 * it, as long as it has any such grant left.  A part: roles whose grants cover
 * some elements, which are added to covered; otherwise nothing is added.  A
 * batch that has touched nothing is visible only to the role that started it
 * and to roles that see all batches.
 */
BatchSight
SightOfBatch(Viewer *viewer, int64 batch_id, Oid requested_by, Jsonb *scope, CoveredScope *covered)
{
	JsonbIterator *it = JsonbIteratorInit(&scope->root);
	text *parts[SCOPE_PARTS];
	int before = covered->count;
	int elements = 0;
	int found;

	if (SeesAllBatches(viewer))
		return SEES_WHOLE;
	if (!GrantsMayRead(viewer->grants))
		return SEES_NOTHING;
	if (requested_by == viewer->role)
		return SEES_WHOLE;
	for (; NextScopeElement(&it, parts); elements++)
	{
		if (covers_element(viewer->grants, GRANT_READ, parts))
			add_covered(covered, batch_id, parts);
	}
	found = covered->count - before;
	if (found > 0 && found < elements)
	{
		keep_covered(covered, before);
		return SEES_PART;
	}
	covered->count = before;
	return found > 0 ? SEES_WHOLE : SEES_NOTHING;
}
