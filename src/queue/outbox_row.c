/*
 * outbox_row.c
 *		Whose an action in the outbox is.
 */
#include "postgres.h"

#include "fmgr.h"

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
