/*
 * eligibility.h
 *		Which records are replayed, and why the others are not.
 */
#ifndef ACTEON_ELIGIBILITY_H
#define ACTEON_ELIGIBILITY_H

#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "access/grants.h"
#include "audit/record.h"
#include "queue/find_action.h"
#include "query/query.h"
#include "queue/action_state.h"
#include "replay/payload_kind.h"
#include "replay/reconstruct.h"

/* What becomes of a record in a call. */
typedef enum ItemStatus
{
	ITEM_PENDING, /* to be enqueued */
	ITEM_ENQUEUED,
	ITEM_PASSED_OVER, /* has a replay already */
	ITEM_SKIPPED,     /* no grant or no payload */
	ITEM_FAILED       /* for a reason of its own */
} ItemStatus;

/* Why a record is not replayed, in the order in which it is judged. */
typedef enum Reason
{
	REASON_NONE, /* it is */
	REASON_NO_GRANT,
	REASON_NO_PATCH_GRANT, /* one does, but does not permit to patch it */
	REASON_UNREADABLE,     /* what is stored of it is damaged */
	REASON_INTERNAL,       /* it is not a client's action */
	REASON_CHAIN,          /* it is of a step or of the end of a chain */
	REASON_EFFECTIVE,      /* its action took effect, or will */
	REASON_NOT_LOST,       /* these two: of what was not lost, or not for certain */
	REASON_UNCERTAIN,
	REASON_UNPROVEN, /* an intent, whose outcome is unknown */
	REASON_EXPIRED,  /* its age, or ends_at, which is looked at last, says so */
	REASON_NO_PAYLOAD,
	REASON_COLUMN_MISSING,
	REASON_SAME_ACTION, /* the call, or its batch, has met the action before */
	REASON_WAITING,     /* these four: a replay of it is */
	REASON_RUNNING,
	REASON_IN_DOUBT,
	REASON_DELIVERED,
	REASON_NEWER,       /* a later record of its replays was lost, too, and is taken */
	REASON_SAME_MOMENT, /* another session is replaying it */
	REASON_GENERATION,
	REASON_DEPTH,
	REASON_REDACTED,
	REASON_ATTACHMENTS,
	REASON_MAYBE_ATTACHMENTS,
	REASON_NOTIFICATION, /* it tells of a batch; see batch/notification.c */
	REASON_NO_HASH,      /* these three: see chain_link.c */
	REASON_HASH_MISMATCH,
	REASON_LINK_BROKEN,
	/* These show only when it is enqueued, as does REASON_REDACTED of what is patched. */
	REASON_SEALED,    /* its payload is encrypted, and cannot be patched */
	REASON_TOO_LARGE, /* its patched payload is */
	REASON_LABELS,    /* they are too large */
	NUM_REASONS
} Reason;

/* A record on its way into the outbox. */
typedef struct ReplayItem
{
	const AuditRecord *record;
	const struct CopiedRow *copy; /* what it is a copy of; NULL: it is made of its record */
	ItemStatus status;
	Reason reason;
	const char *error;   /* the reason in words, if it has failed */
	PayloadKind payload; /* once it has been looked at */
	Reason contents;     /* what that has found against the record */
	/* What a patch makes of its payload, as far as it has been looked at. */
	bool is_patched;
	bool is_replaced;    /* as a whole: it is no object */
	bool is_labelled;    /* its action is a replay, as the record says */
	Effect effect;       /* of the record, where lost is asked for */
	pg_uuid_t action_id; /* the new id */
	int generation;
	int replays; /* of the action, without cancelled and expired ones and those in the way */
	/* The latest earlier replay of the same action, if there is one. */
	bool has_earlier;
	bool in_same_batch;
	bool at_same_moment; /* the calling statement cannot see it */
	pg_uuid_t earlier_id;
	ActionState earlier_state;
	bool earlier_had_none; /* it was delivered, without effect */
	/* The latest earlier replay that took effect, or will, if there is one. */
	OptionalTime effective_at;
	pg_uuid_t effective_id;
	/* Where the row went. */
	bool in_lane; /* it has a fingerprint */
	OptionalTime expires_at;
	int64 lane;
	int64 outbox_id;
	ItemPointerData tid;
} ReplayItem;

/* What a call judges by; see InitJudge. */
typedef struct Judge
{
	MemoryContext context;
	Oid schema;
	const ReplayQuery *query;
	Grants *grants;
	GrantPurpose purpose;          /* for which one must cover a record */
	const text *provider_override; /* NULL: none */
	Snapshot snapshot;
	bool is_open; /* the outbox, which is opened when first needed */
	ActionFinder actions;
} Judge;

extern const char *ReasonName(Reason reason);
extern ItemStatus ReasonStatus(Reason reason);
extern const char *ReasonText(Reason reason, const AuditRecord *record, const ReplayQuery *query);
extern void SetReason(ReplayItem *item, Reason reason, const ReplayQuery *query);

extern void InitJudge(Judge *judge, Oid schema, Grants *grants, const ReplayQuery *query);
extern void CloseJudge(Judge *judge);
extern Reason JudgeColumns(const ReplayQuery *query, const AuditRecord *record, Effect *effect);
extern Reason JudgeRecord(Judge *judge, const AuditRecord *record, Effect *effect);
extern Reason JudgeContents(Judge *judge, const AuditRecord *record, PayloadKind *payload);
extern void BeginItems(Judge *judge, ReplayItem *items, const AuditRecord *records, int count);
extern int CompareItems(const void *a, const void *b);
extern Reason StateReason(ActionState state);
extern bool JudgeEarlier(ReplayItem *item, bool include_replayed, bool lost);
extern void CountEarlier(ReplayItem *item);
extern void JudgeActions(Judge *judge, ReplayItem *items, int count);

#endif /* ACTEON_ELIGIBILITY_H */
