/*
 * record.h
 *		What the columns of a record say.
 */
#ifndef ACTEON_RECORD_H
#define ACTEON_RECORD_H

#include "datatype/timestamp.h"

#include "access/grants.h"
#include "queue/effect.h"

/*
 * A record: one row of the audit table.  What it points to lives as long as
 * the window of rows that it came in; payload and metadata may be toasted.
 */
typedef struct AuditRecord
{
	text *id;
	text *action_id;
	text *namespace;
	text *tenant;
	text *provider;
	text *action_type;
	text *outcome;
	TimestampTz dispatched_at;
	Datum payload;
	Datum metadata;
	Datum details; /* of the outcome */
	bool has_payload;
	bool has_metadata;
	bool has_details;
	bool has_duration;
	int64 duration_ms;
	bool is_of_chain;     /* it has a chain_id */
	text *signer_id;      /* who has signed the action; NULL: nobody */
	bool is_intent;       /* outcome "pending" */
	bool had_attachments; /* which are not stored with it */
	bool may_have_had;    /* an intent does not tell */
	bool is_notification; /* no record: an action that tells of a batch */
	const char *missing;  /* a column that is NULL and must not be, or that cannot be read */
	const char *damage;   /* why it cannot be read; NULL: it can */
} AuditRecord;

extern GrantTarget RecordTarget(const AuditRecord *record);
extern bool GrantsCoverRecord(Grants *grants, GrantPurpose purpose, const AuditRecord *record);
extern bool TookEffect(const AuditRecord *record);
extern bool IsLost(const AuditRecord *record, Effect *effect);
extern bool IsInternal(const AuditRecord *record);
extern bool IsChainPart(const AuditRecord *record);

#endif /* ACTEON_RECORD_H */
