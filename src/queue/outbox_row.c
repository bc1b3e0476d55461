/*
 * outbox_row.c
 *		Whose an action in the outbox is, and which.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/text.h"
#include "queue/outbox_row.h"

/*
 * Whether a row of the outbox is of a namespace and a tenant: others may use the
 * same action ids.
 */
bool
OutboxRowIsOf(TupleTableSlot *row, const text *namespace, const text *tenant)
{
	bool isnull;

	return SameText(DatumGetTextPP(slot_getattr(row, Anum_outbox_namespace, &isnull)), namespace) &&
		   SameText(DatumGetTextPP(slot_getattr(row, Anum_outbox_tenant, &isnull)), tenant);
}

/*
 * Whether a row of the outbox is the replay with an id.  Where a sequence was set back, a
 * place that was purged may have been used again.
 */
bool
OutboxRowIs(TupleTableSlot *row, const pg_uuid_t *id)
{
	bool isnull;

	return memcmp(DatumGetUUIDP(slot_getattr(row, Anum_outbox_action_id, &isnull)), id,
				  sizeof(pg_uuid_t)) == 0;
}

/*
 * The target of the outbox's row that was found last, in the current memory context; NULL
 * for production.
 */
char *
FoundTarget(TableFinder *outbox)
{
	bool isnull;
	Datum target = FoundColumn(outbox, Anum_outbox_target, &isnull);

	return isnull ? NULL : TextDatumGetCString(target);
}
