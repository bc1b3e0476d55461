/*
 * sent_action.h
 *		Under which ids an action of the outbox may have been sent.
 */
#ifndef ACTEON_SENT_ACTION_H
#define ACTEON_SENT_ACTION_H

#include "audit/audit_lookup.h"
#include "base/table_access.h"

extern text *OutboxText(TableFinder *outbox, AttrNumber column);
extern void
ReadSentAction(TableFinder *outbox, const pg_uuid_t *namespace, int resends, LookupKey *key);

#endif /* ACTEON_SENT_ACTION_H */
