/*
 * sent_action.c
 *		Under which ids an action of the outbox may have been sent.
 */
#include "postgres.h"

#include "base/catalog.h"
#include "base/replay_id.h"
#include "audit/sent_action.h"
#include "queue/outbox_row.h"

/*
 * A text column of the outbox row that was found, in the current memory context;
 * NULL if it is NULL.
 */
text *
OutboxText(TableFinder *outbox, AttrNumber column)
{
	bool isnull;
	Datum value = FoundColumn(outbox, column, &isnull);

	return isnull ? NULL : DatumGetTextPCopy(value);
}

/*
 * Set *key to what the audit table is asked about the action whose outbox row was
 * found, in the current memory context: all ids that it may have been sent under if
 * it was given new ones so many times, and whose it is.
 */
void
ReadSentAction(TableFinder *outbox, const pg_uuid_t *namespace, int resends, LookupKey *key)
{
	bool isnull;
	pg_uuid_t *ids = palloc((resends + 1) * sizeof(pg_uuid_t));

	ids[0] = *DatumGetUUIDP(FoundColumn(outbox, Anum_outbox_action_id, &isnull));
	if (resends > 0)
	{
		text *original = OutboxText(outbox, Anum_outbox_original_action_id);
		int generation = DatumGetInt32(FoundColumn(outbox, Anum_outbox_generation, &isnull));
		const char *target = FoundTarget(outbox);

		for (int i = 1; i <= resends; i++)
			ResendId(&ids[i], namespace, VARDATA_ANY(original), VARSIZE_ANY_EXHDR(original), target,
					 generation, i);
	}
	key->ids = ids;
	key->id_count = resends + 1;
	key->namespace = OutboxText(outbox, Anum_outbox_namespace);
	key->tenant = OutboxText(outbox, Anum_outbox_tenant);
	key->dedup_key = OutboxText(outbox, Anum_outbox_dedup_key);
}
