/*
 * reconstruct.h
 *		What a replayed action looks like.
 */
#ifndef ACTEON_RECONSTRUCT_H
#define ACTEON_RECONSTRUCT_H

#include "utils/jsonb.h"

#include "audit/record.h"
#include "base/optional_time.h"
#include "query/query.h"

/* The key of a record's metadata that has the fingerprint. */
#define FINGERPRINT_KEY "__fingerprint"

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

extern void CheckReadable(const AuditRecord *record);
extern bool IsLabelledReplay(const AuditRecord *record);
extern bool IsLabelledNotification(const AuditRecord *record);
extern text *ReplayedFrom(const AuditRecord *record);
extern OptionalTime RecordEndsAt(const AuditRecord *record);
extern bool HasDedupKey(const AuditRecord *record, uint32 *hash);
extern bool ReconstructAction(const AuditRecord *record, const char *patch_label, Action *action);

#endif /* ACTEON_RECONSTRUCT_H */
