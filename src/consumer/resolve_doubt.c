/*
 * resolve_doubt.c
 *		Actions for which it is unknown whether they were executed.
 *
 * An action is in doubt when it may have been sent and has no answer: a request
 * that timed out, a lease that expired, a 409 that only says that the id was
 * seen.  It stays in its segment, which is then due at the time of the next
 * look-up in the audit table.  Claims collect the due ones, and the expired
 * leases that they meet among the waiting segments; once they have claimed
 * enough, all that was collected is looked up at once.
 *
 * An outcome record resolves the doubt, and its outcome becomes the delivery.
 * While there is none, the action waits until acteon_replay.gateway_patience
 * has passed.  Then it is either sent again under a new id, once, and marked as
 * unproven, or held until a record appears or a person decides (settle.c).
 *
 * An action that was given a new id without proof stays in doubt as far as its
 * earlier ids are concerned: it is looked up again right before it is handed
 * out, and it never becomes dead or cancelled.
 *
 * The gateway of another target than production writes its records elsewhere.  So nothing
 * follows from what the audit table has or lacks: such doubts are held at once, and never
 * looked up again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/sent_action.h"
#include "base/catalog.h"
#include "base/fault_point.h"
#include "base/compat.h"
#include "base/installation.h"
#include "base/invariant.h"
#include "base/settings.h"
#include "base/text.h"
#include "batch/control_log.h"
#include "consumer/resolve_doubt.h"
#include "query/query.h"
#include "queue/backoff.h"
#include "queue/batch_flags.h"
#include "queue/doubt.h"
#include "queue/expire.h"

/* How soon the audit table is asked again, at first and at most. */
#define FIRST_LOOK (1 * USECS_PER_SEC)
#define LAST_LOOK (60 * USECS_PER_SEC)

/* An action that is looked up: what the outbox has of it. */
typedef struct Suspect
{
	LookupKey key;
	bool elsewhere; /* its records are not in our audit table */
	TimestampTz created_at;
	OptionalTime expires_at;
} Suspect;

/* What is known of the batch of a doubt. */
typedef struct DoubtBatch
{
	int64 id;
	bool holds; /* on_doubt is hold */
	BatchStop stop;
} DoubtBatch;

/* A call that resolves doubts: what it has open. */
typedef struct Resolver
{
	Doubts *doubts;
	Lookup *lookup;
	TableFinder outbox;
	TableFinder batches;
	pg_uuid_t namespace;
	DoubtBatch batch;
} Resolver;

/*
 * When the patience with a doubt is over.
 */
static TimestampTz
patience_end(const Segment *segment)
{
	return segment->doubt_since + (int64) GatewayPatience * USECS_PER_SEC;
}

/*
 * When to look at a doubt again: the older it is the later, but not later than
 * the moment at which something is decided.
 */
static TimestampTz
next_look(const Segment *segment, TimestampTz now)
{
	int64 age = Max(now - segment->doubt_since, 0);
	TimestampTz next = now + Min(Max(age, FIRST_LOOK), LAST_LOOK);
	TimestampTz end = patience_end(segment);

	return end > now && end < next ? end : next;
}

/*
 * Write down that two ids of an action had an effect, or that one had although the
 * action ended otherwise.
 */
void
LogContradiction(Oid schema, Oid role, int64 batch_id, int64 outbox_id, const char *reason)
{
	LogDetails details;

	BeginDetails(&details);
	AddNumberDetail(&details, "outbox_id", outbox_id);
	LogControl(schema, role, "contradiction", batch_id, reason, EndDetails(&details));
}

/* ----------------------------------------------------------------
 * Collecting
 * ----------------------------------------------------------------
 */

/*
 * Get ready to collect and resolve doubts for a role, in the current memory
 * context, which must live as long as the deliveries are open.
 */
void
InitDoubts(Doubts *doubts, Oid schema, Oid role, TimestampTz now, SegmentTable *segments,
		   DeliveryWriter *deliveries)
{
	memset(doubts, 0, sizeof(*doubts));
	doubts->context = CurrentMemoryContext;
	doubts->schema = schema;
	doubts->role = role;
	doubts->now = now;
	doubts->segments = segments;
	doubts->deliveries = deliveries;
}

/*
 * A copy of a text in the doubts' memory context.
 */
static text *
keep_text(Doubts *doubts, const text *value)
{
	text *copy;

	if (value == NULL)
		return NULL;
	copy = MemoryContextAlloc(doubts->context, VARSIZE_ANY(value));
	memcpy(copy, value, VARSIZE_ANY(value));
	return copy;
}

/*
 * Whether the doubts have room for those of a segment.
 */
bool
HasRoomForDoubt(const Doubts *doubts, const Segment *segment)
{
	return doubts->actions + SegmentLength(segment) <= MAX_LOOKED_UP;
}

/*
 * Collect a due segment that NeedsLook, if no other session has locked it.  The
 * doubts must have room for it.
 */
void
CollectDoubt(Doubts *doubts, const Segment *segment)
{
	Segment *kept;

	if (!HoldSegment(doubts->segments, segment, false))
		return;
	if (doubts->count == doubts->allocated)
	{
		doubts->allocated = Max(2 * doubts->allocated, 16);
		doubts->collected =
			doubts->collected == NULL
				? MemoryContextAlloc(doubts->context, doubts->allocated * sizeof(Segment))
				: repalloc(doubts->collected, doubts->allocated * sizeof(Segment));
	}
	kept = &doubts->collected[doubts->count++];
	*kept = *segment;
	kept->holder = keep_text(doubts, segment->holder);
	kept->doubt = keep_text(doubts, segment->doubt);
	kept->held = keep_text(doubts, segment->held);
	kept->provider = keep_text(doubts, segment->provider);
	kept->target = keep_text(doubts, segment->target);
	doubts->actions += SegmentLength(segment);
}

/* ----------------------------------------------------------------
 * Looking up
 * ----------------------------------------------------------------
 */

/*
 * Read the suspects of all segments that were collected, one after the other.  One
 * whose row is missing, which acteon_outbox_check reports, has no ids.
 */
static Suspect *
read_suspects(Resolver *resolver)
{
	Doubts *doubts = resolver->doubts;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Suspect *suspects = palloc0(doubts->actions * sizeof(Suspect));
	int n = 0;

	for (int i = 0; i < doubts->count; i++)
	{
		const Segment *segment = &doubts->collected[i];

		for (int64 id = segment->first_id; id <= segment->last_id; id++, n++)
		{
			CHECK_FOR_INTERRUPTS();
			suspects[n].elsewhere = segment->target != NULL;
			if (!suspects[n].elsewhere &&
				FindRow(&resolver->outbox, F_INT8EQ, Int64GetDatum(id), snapshot))
			{
				bool isnull;

				ReadSentAction(&resolver->outbox, &resolver->namespace, segment->resend,
							   &suspects[n].key);
				suspects[n].created_at = DatumGetTimestampTz(
					FoundColumn(&resolver->outbox, Anum_outbox_created_at, &isnull));
				if (segment->expires_at != 0)
					suspects[n].expires_at = OutboxExpiry(&resolver->outbox, resolver->outbox.slot);
			}
		}
	}
	UnregisterSnapshot(snapshot);
	return suspects;
}

/*
 * Look the suspects up.  Of those that went to another target than production nothing is
 * found.
 */
static Finding *
look_up(Resolver *resolver, const Suspect *suspects)
{
	int count = resolver->doubts->actions;
	LookupKey *keys = palloc(count * sizeof(LookupKey));
	Finding *found = palloc0(count * sizeof(Finding));
	Finding *findings = palloc0(count * sizeof(Finding));
	int asked = 0;

	for (int i = 0; i < count; i++)
	{
		if (!suspects[i].elsewhere)
			keys[asked++] = suspects[i].key;
	}
	if (asked > 0)
		LookUpActions(resolver->lookup, keys, asked, found);
	asked = 0;
	for (int i = 0; i < count; i++)
	{
		if (!suspects[i].elsewhere)
			findings[i] = found[asked++];
	}
	return findings;
}

/*
 * Find out what matters of the batch of a doubt.
 */
static void
read_batch(Resolver *resolver, int64 batch_id)
{
	DoubtBatch *batch = &resolver->batch;
	Snapshot snapshot;
	bool isnull;

	if (batch->id == batch_id)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	batch->id = batch_id;
	batch->holds = true; /* one whose row is missing */
	batch->stop = StopOfBatch(&resolver->batches, batch_id, snapshot);
	if (!TTS_EMPTY(resolver->batches.slot))
		batch->holds = strcmp(TextDatumGetCString(
								  FoundColumn(&resolver->batches, Anum_batch_on_doubt, &isnull)),
							  ON_DOUBT_HOLD) == 0;
	UnregisterSnapshot(snapshot);
}

/* ----------------------------------------------------------------
 * Deciding
 * ----------------------------------------------------------------
 */

/*
 * Why a doubt without any record must be held, once the patience is over; NULL if
 * its action may go out again under a new id (NoneTwice).
 */
static const char *
why_held(Resolver *resolver, const Segment *segment, const Suspect *suspect)
{
	const DoubtBatch *batch = &resolver->batch;
	TimestampTz sent_at = segment->sent_at != 0 ? segment->sent_at : suspect->created_at;
	/* A record of an earlier id that was sent again proves nothing about this one. */
	TimestampTz later_than = segment->resend == 0 ? sent_at : segment->doubt_since;
	AuditTells tells;

	if (suspect->expires_at.given && suspect->expires_at.time <= resolver->doubts->now)
		return HELD_EXPIRED;
	if (batch->holds)
		return "on_doubt is hold";
	if (HoldDoubts)
		return "acteon_replay.hold_doubts is on: it may have been sent and be executed later";
	if (segment->unproven)
		return "it has already been sent again once";
	if (segment->attempt >= MaxAttempts)
		return "it has no attempts left";
	if (batch->stop == BATCH_CANCELLED)
		return "its batch is cancelled";
	if (segment->stopped == BATCH_CANCELLED)
		return "its part of the batch is cancelled";
	if (batch->stop == BATCH_PAUSED)
		return "its batch is paused";
	if (segment->stopped == BATCH_PAUSED)
		return "its part of the batch is paused";
	tells = WhatAuditTells(resolver->lookup, sent_at, later_than);
	return tells == AUDIT_TELLS ? NULL : AuditTellsText(tells);
}

/*
 * Hold a doubt that is looked at.  One that is held as it has expired stays so, whatever
 * else could be said about it: only then a person can have it sent in spite of that.
 */
static void
hold_unless_expired(Segment *piece, const char *why)
{
	if (piece->held == NULL || !TextIs(piece->held, HELD_EXPIRED))
		HoldDoubt(piece, why);
}

/*
 * Decide about an action of which no outcome is recorded: change the piece, which
 * is the action as it is.
 */
static void
decide_without_outcome(Resolver *resolver, Segment *piece, const Suspect *suspect,
					   const Finding *finding)
{
	Doubts *doubts = resolver->doubts;
	const char *held = NULL;

	/* What went elsewhere has no records here: what is known of it is all there is. */
	bool was_asked = suspect->elsewhere || AuditIsReadable(resolver->lookup);

	if (piece->doubt_since == 0 && !was_asked)
	{
		piece->due_at = doubts->now + FIRST_LOOK;
		return;
	}
	if (piece->doubt_since == 0)
	{
		/* Its new id may go out: nothing has turned up of the old one. */
		piece->due_at = doubts->now;
		doubts->released = true;
		return;
	}
	if (piece->id_refused && was_asked && !finding->has_intent)
	{
		/* The 409 is the answer to our own attempts, of which none was executed. */
		RenewId(piece, doubts->now);
		doubts->released = true;
		return;
	}
	if (suspect->elsewhere)
	{
		hold_unless_expired(piece, "its target keeps its records elsewhere");
		piece->due_at = DT_NOEND; /* no record can appear */
		return;
	}
	if (doubts->now >= patience_end(piece))
	{
		held = finding->has_intent ? "the audit table has an intent for it, but no outcome"
								   : why_held(resolver, piece, suspect);
		if (held == NULL)
		{
			AssertInvariant(NoneTwice, !piece->unproven && !resolver->batch.holds);
			RenewId(piece, doubts->now);
			piece->unproven = true;
			doubts->released = true;
			return;
		}
		hold_unless_expired(piece, held);
	}
	piece->due_at = next_look(piece, doubts->now);
}

/*
 * Add the delivery of an action whose outcome was found.
 */
static void
deliver_found(Resolver *resolver, const Segment *piece, const Finding *finding,
			  const AnswerReading *reading)
{
	Doubts *doubts = resolver->doubts;
	Delivery delivery = {.outbox_id = piece->first_id,
						 .batch_id = piece->batch_id,
						 .provider = ToldProvider(piece),
						 .attempts = piece->attempt,
						 .state = ACTION_DELIVERED,
						 .outcome = {.value = JsonbPGetDatum(finding->answer)},
						 .error = {.isnull = true},
						 .effect = finding->effect,
						 .resend = finding->id,
						 .unproven = piece->unproven,
						 .relay = piece->relay,
						 .known_by = KNOWN_BY_RECORD};

	strlcpy(delivery.outcome_name, reading->name, sizeof(delivery.outcome_name));
	AddDelivery(doubts->deliveries, &delivery);
	if (finding->done_ids > 1)
		LogContradiction(doubts->schema, doubts->role, piece->batch_id, piece->first_id,
						 "more than one id of the action was executed with success");
}

/*
 * Decide about an action whose outcome is recorded.  Returns whether that ends it;
 * else the piece was changed.
 */
static bool
decide_with_outcome(Resolver *resolver, Segment *piece, const Finding *finding)
{
	Doubts *doubts = resolver->doubts;
	AnswerReading reading;

	ReadAnswer(finding->answer, &reading);
	if (reading.kind == ANSWER_DEFERRED && finding->id == piece->resend &&
		finding->effect == EFFECT_NONE)
	{
		DeferAction(piece, BackoffTime(doubts->now, piece->resend + 1), doubts->now);
		return false;
	}
	/* The record of an earlier id says nothing about the one that is out, unless it was executed. */
	if (finding->id < piece->resend && finding->effect != EFFECT_DONE)
		return false;
	if (reading.kind == ANSWER_DEDUPLICATED && piece->unproven && finding->effect == EFFECT_UNKNOWN)
		return false;
	deliver_found(resolver, piece, finding, &reading);
	return true;
}

/*
 * Put what came in doubt with its lease in doubt, as far as it has not been yet.
 */
static void
begin_doubt(Segment *segment)
{
	if (segment->lease_token != NO_LEASE)
		MakeDoubt(segment, segment->due_at,
				  psprintf("lease of \"%s\" ran out without an answer",
						   text_to_cstring(segment->holder)),
				  segment->due_at);
}

/*
 * Apply what was found about the actions of a segment that was collected.
 */
static void
resolve_segment(Resolver *resolver, const Segment *collected, const Suspect *suspects,
				const Finding *findings)
{
	Doubts *doubts = resolver->doubts;
	Segment pieces[SEGMENT_ACTIONS];
	Segment segment = *collected;
	int count = 0;
	int ended PG_USED_FOR_ASSERTS_ONLY = 0;

	begin_doubt(&segment);
	read_batch(resolver, segment.batch_id);
	for (int i = 0; i < SegmentLength(&segment); i++)
	{
		Segment piece = segment;

		CHECK_FOR_INTERRUPTS();
		piece.first_id = piece.last_id = segment.first_id + i;
		if (findings[i].has_outcome && decide_with_outcome(resolver, &piece, &findings[i]))
		{
			doubts->released |= segment.in_lane; /* what waits behind it */
			ended++;
			continue;
		}
		if (piece.resend == segment.resend)
			decide_without_outcome(resolver, &piece, &suspects[i], &findings[i]);
		AssertInvariant(EventuallyEndsOrHeld, piece.due_at != DT_NOEND || piece.held != NULL);
		AppendPiece(pieces, &count, &piece);
	}
	AssertInvariant(NoneLost, PiecesLength(pieces, count) + ended == SegmentLength(&segment));
	if (!ReplaceSegment(doubts->segments, collected, pieces, count))
		elog(ERROR, "a segment was changed while it was locked");
}

/*
 * Look up all that was collected, and act on the findings: resolve the doubt,
 * hold the action, or release it to be sent again.  Then released says whether
 * some of the actions may be handed out at once.
 */
void
ResolveDoubts(Doubts *doubts)
{
	MemoryContext old = MemoryContextSwitchTo(doubts->context);
	Resolver resolver = {.doubts = doubts};
	Suspect *suspects;
	Finding *findings;
	int n = 0;

	if (doubts->count > 0)
	{
		(void) ReadNamespace(doubts->schema, &resolver.namespace);
		resolver.lookup = OpenLookup(doubts->schema);
		OpenPartedFinder(&resolver.outbox, doubts->schema, OUTBOX_TABLE, Anum_outbox_id);
		OpenFinder(&resolver.batches, OwnTable(doubts->schema, BATCH_TABLE), Anum_batch_id);
		suspects = read_suspects(&resolver);
		findings = look_up(&resolver, suspects);
		FAULT_POINT("doubt-decide");
		for (int i = 0; i < doubts->count; i++)
		{
			resolve_segment(&resolver, &doubts->collected[i], suspects + n, findings + n);
			n += SegmentLength(&doubts->collected[i]);
		}
		CloseFinder(&resolver.batches);
		CloseFinder(&resolver.outbox);
		CloseLookup(resolver.lookup);
	}
	doubts->count = doubts->actions = 0;
	MemoryContextSwitchTo(old);
}
