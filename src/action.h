/*
 * action.h
 *		What a replayed action looks like.
 */
#ifndef ACTEON_ACTION_H
#define ACTEON_ACTION_H

#include "utils/jsonb.h"

#include "audit.h"
#include "query.h"

/*
 * An action, reconstructed from a record.  What the record holds as it is
 * (namespace, tenant, provider, action_type, payload) is taken from there.
 */
typedef struct Action
{
	Jsonb *labels;
	text *dedup_key; /* these three: NULL if absent */
	text *status;
	text *fingerprint;
	OptionalTime starts_at;
	OptionalTime ends_at;
} Action;

extern bool PayloadIsRedacted(Datum payload);
extern bool ReconstructAction(const AuditRecord *record, Action *action);

#endif /* ACTEON_ACTION_H */
