/*
 * claim.c
 *		acteon_outbox_claim: leasing due actions to a consumer.
 *
 * Segments are read in the order (due_at, first_id) of an index and leased one
 * by one, without waiting: segments that another transaction has locked are
 * skipped, as with SKIP LOCKED. A segment that is longer than needed is split.
 * An expired lease is due like any other segment, so no process has to watch
 * leases; but its actions may have been sent, so it is collected and looked up
 * together with the doubts that are due, which have an index of their own
 * (resolve_doubt.c), after the waiting segments have been claimed.  Actions that
 * may be sent according to the look-up are then claimed, too.
 *
 * Whether a segment may go is decided in may_claim.c, and its actions are put out in
 * hand_out.c.  What the limit of its provider or tenant does not allow is parked, and handed
 * out by a later claim, before anything else (queue/limit.c).
 *
 * Segments that were finished or moved leave dead entries at the beginning of
 * the index, which stay as long as the oldest transaction is open.  So a session
 * remembers where its last claim ended and continues from there, as long as it
 * finds enough actions; once a second it starts at the beginning in any case,
 * because something due may have appeared before that place.
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/fault_point.h"
#include "base/invariant.h"
#include "base/target.h"
#include "batch/batch_stop.h"
#include "batch/breaker.h"
#include "batch/canary.h"
#include "batch/catch_up.h"
#include "batch/failover.h"
#include "batch/notification.h"
#include "batch/provider_breaker.h"
#include "consumer/call.h"
#include "consumer/claim_int.h"
#include "consumer/resolve_doubt.h"
#include "queue/delivery.h"
#include "queue/doubt.h"
#include "queue/limit.h"
#include "queue/relay.h"
#include "queue/segment.h"
#include "queue/wake.h"
#include "replay/tell.h"

/* Maximum number of actions that a claim makes dead, besides those that it hands out. */
#define MAX_ENDED 1000

/*
 * Number of segments parked under one limit and refused by another after which a claim
 * leaves the others for the next one: they wait for that limit then.
 */
#define MAX_REFUSED 100

/* Maximum number of actions that a claim looks up before it takes what waits behind them. */
#define MAX_LOOKED_UP_FIRST (5 * MAX_LOOKED_UP)

/*
 * Pieces into which segments are cut, about, before those are claimed, and how often:
 * the next claim goes on with the others.
 */
#define MAX_CUT 1000
#define MAX_PASSES 2

/*
 * Segments with expired actions that a claim passes, after it has ended enough of them,
 * before it leaves what is behind them to the next claim.
 */
#define MAX_UNEXPIRED 10000

/* Maximum length of a consumer's name, in bytes. */
#define CONSUMER_MAXLEN 200

/* How long a claim may go on from where the last one ended. */
#define RESCAN_INTERVAL (1 * USECS_PER_SEC)

/* Tokens fit into a double, for consumers that have nothing else. */
#define TOKEN_MASK ((INT64CONST(1) << 53) - 1)

/* Random numbers that are drawn at once. */
#define NUMBERS_IN_ADVANCE 64

/* Where the session's last claim ended, and when one began from the beginning. */
typedef struct Resume
{
	Oid relid;                      /* the table of segments */
	char target[TARGET_MAXLEN + 1]; /* empty: production */
	DuePlace place;
	TimestampTz scanned_at;
} Resume;

static Resume resume;

/* Whether the session's last claim was full, so that it goes on at once. */
static bool was_full = false;

PG_FUNCTION_INFO_V1(acteon_outbox_claim);

/*
 * A random number.  The source of them is slow to set up for each, so a session draws
 * some in advance.
 */
static int64
draw_number(void)
{
	static int64 drawn[NUMBERS_IN_ADVANCE];
	static int left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(drawn, sizeof(drawn)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate a random lease token")));
		left = NUMBERS_IN_ADVANCE;
	}
	return drawn[--left];
}

/*
 * Draw a token: random, so that a lease from before a failover or a restore is
 * never mistaken for one from after it.
 */
static int64
draw_token(void)
{
	int64 token;

	do
		token = draw_number() & TOKEN_MASK;
	while (token == NO_LEASE);
	return token;
}

/*
 * Make an action dead that cannot be handed out.
 */
static void
end_dead(Claim *claim, int64 outbox_id, const Segment *segment, const char *error)
{
	Delivery delivery = {.outbox_id = outbox_id,
						 .batch_id = segment->batch_id,
						 .attempts = segment->attempt,
						 .state = ACTION_DEAD,
						 .resend = segment->resend,
						 .relay = claim->relay,
						 .outcome = {.isnull = true}};
	MemoryContext old = MemoryContextSwitchTo(claim->deliveries.context);

	delivery.error.value = CStringGetTextDatum(error);
	AddDelivery(&claim->deliveries, &delivery);
	claim->ended++;
	MemoryContextSwitchTo(old);
}

/*
 * Correct a lease after its actions were put out: what cannot be handed out ends
 * dead, or is held if it may have been sent before or its row is missing; what the
 * claim has no room for, from the given action on, is given back.
 */
static void
correct_lease(Claim *claim, const Segment *before, const Segment *lease, int64 from)
{
	Segment pieces[SEGMENT_ACTIONS + 2];
	Segment rest = *lease;
	int count = 0;

	for (int i = 0; i < claim->spoilt_count; i++)
	{
		int64 id = claim->spoilt[i];

		if (id > rest.first_id)
		{
			pieces[count] = rest;
			pieces[count++].last_id = id - 1;
		}
		if (before->unproven || claim->spoilt_missing[i])
		{
			pieces[count] = *before;
			pieces[count].first_id = pieces[count].last_id = id;
			MakeDoubt(&pieces[count], claim->now, claim->spoilt_because[i], claim->now);
			HoldDoubt(&pieces[count++], "it cannot be handed out");
		}
		else
			end_dead(claim, id, before, claim->spoilt_because[i]);
		rest.first_id = id + 1;
	}
	if (from > rest.first_id)
	{
		pieces[count] = rest;
		pieces[count++].last_id = from - 1;
	}
	if (from <= rest.last_id)
	{
		pieces[count] = *before;
		pieces[count].first_id = from;
		pieces[count].last_id = lease->last_id;
		pieces[count++].lease_token = NO_LEASE;
	}
	/* The lease was written by this command, which must not change it again. */
	CommandCounterIncrement();
	if (!ReplaceSegment(&claim->segments, lease, pieces, count))
		elog(ERROR, "a lease was changed while it was being made");
}

/*
 * How many actions of a segment to lease: as many as are wanted, only one of a lane,
 * and none that its batch, which was looked at last, holds back.
 */
static int
lease_length(const Claim *claim, const Segment *segment)
{
	int length = segment->in_lane ? 1 : Min(SegmentLength(segment), claim->wanted - claim->leave);

	return (int) Min(length, claim->guard.last_released - segment->first_id + 1);
}

/*
 * Collect a segment that must be looked up.  What has been collected before is
 * looked up at once if there is no room for it: what waits behind a dead consumer's
 * thousand leases must not wait for all of them.
 */
static void
collect_doubt(Claim *claim, const Segment *segment)
{
	if (!HasRoomForDoubt(&claim->doubts, segment))
	{
		claim->looked_up += claim->doubts.actions;
		ResolveDoubts(&claim->doubts);
	}
	CollectDoubt(&claim->doubts, segment);
}

/*
 * The number of the consumer, which is looked up when it is first handed something out.
 */
static int32
relay_number(Claim *claim)
{
	if (claim->relay == NO_RELAY)
		claim->relay =
			RelayNumber(claim->guard.schema, claim->consumer, claim->target_name, claim->gateway);
	return claim->relay;
}

/*
 * Lease a due segment, or a part of it, and output its actions; or skip it, if
 * another session has locked it, or its batch, its lane or a limit does not permit it.
 * A parked one counts as due now.
 */
static void
take_segment(Claim *claim, Segment *segment)
{
	Segment pieces[2];
	Segment *lease = &pieces[0];
	SharedLimit *limits[NUM_LIMIT_KINDS];
	int length;
	int64 next;

	if (NeedsLook(segment, claim->now))
	{
		collect_doubt(claim, segment);
		return;
	}
	if (claim->ended >= MAX_ENDED || !BatchLetsPass(claim, segment))
		return;
	/* Before the lane, so that what comes behind a parked one in its lane is parked as well. */
	length = LimitsLetPass(claim, segment, lease_length(claim, segment), limits);
	if (length == 0 || !LaneLetsPass(claim, segment) ||
		!HoldSegment(&claim->segments, segment, false))
		return;
	AssertInvariant(NoneAfterCancel, claim->guard.last_id == segment->batch_id &&
										 claim->guard.last == BATCH_RUNS &&
										 segment->stopped == BATCH_RUNS);
	AssertInvariant(LaneInOrder, !segment->in_lane || length == 1);

	pieces[0] = pieces[1] = *segment;
	lease->last_id = segment->first_id + length - 1;
	lease->due_at = claim->lease_end;
	lease->attempt = segment->attempt + 1;
	lease->was_claimed = true;
	/* Under its first id, and under one that it has not been sent under, nothing is unresolved. */
	if (segment->resend == 0 || segment->sent_at == 0)
		lease->sent_at = claim->now;
	lease->lease_token = claim->token;
	lease->holder = claim->consumer;
	lease->relay = relay_number(claim);
	lease->provider_limit = limits[LIMIT_PROVIDER] == NULL ? NO_LIMIT : limits[LIMIT_PROVIDER]->key;
	lease->tenant_limit = limits[LIMIT_TENANT] == NULL ? NO_LIMIT : limits[LIMIT_TENANT]->key;
	if (segment->parked_at != 0)
		pieces[1].due_at = DT_NOEND;
	pieces[1].first_id = lease->last_id + 1;
	pieces[1].lease_token = NO_LEASE;
	if (!ReplaceSegment(&claim->segments, segment, pieces,
						lease->last_id < segment->last_id ? 2 : 1))
		return;
	FAULT_POINT("claim-lease");
	claim->wanted -= length;
	next = PutOutActions(claim, lease);
	claim->wanted += claim->spoilt_count;
	if (next <= lease->last_id || claim->spoilt_count > 0)
		correct_lease(claim, segment, lease, next);
	for (int kind = 0; kind < NUM_LIMIT_KINDS; kind++)
		SpendLimit(&claim->limits, limits[kind],
				   (int) (next - lease->first_id) - claim->spoilt_count, lease->first_id);
	claim->full = claim->wanted == 0 || next <= lease->last_id;
	if (segment->parked_at != 0)
		return;
	claim->moved = true;
	claim->place.due_at = segment->due_at;
	claim->place.first_id = segment->first_id;
}

/*
 * Whether a segment comes behind a place.
 */
static bool
is_past(const Segment *segment, const DuePlace *place)
{
	return segment->due_at > place->due_at ||
		   (segment->due_at == place->due_at && segment->first_id > place->first_id);
}

/*
 * Take what is due after a place (NULL: from the beginning) and up to another
 * (NULL: to the end), until the claim is full.
 */
static void
take_due(Claim *claim, const DuePlace *after, const DuePlace *up_to)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay due", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;

	BeginDueScan(&scan, &claim->segments, claim->target, after, claim->now);
	old = MemoryContextSwitchTo(context);
	while (!claim->full && claim->looked_up < MAX_LOOKED_UP_FIRST && claim->cut < MAX_CUT &&
		   claim->unexpired < MAX_UNEXPIRED)
	{
		Segment segment;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!NextSegment(&scan, &segment) || (up_to != NULL && is_past(&segment, up_to)))
			break;
		take_segment(claim, &segment);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Take what is parked under one limit, as much as it allows.
 */
static void
take_parked_under(Claim *claim, SharedLimit *limit)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay parked", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;
	int refused = claim->refused;

	BeginParkedScan(&scan, &claim->segments, limit->kind, limit->key, false);
	old = MemoryContextSwitchTo(context);
	while (!claim->full && claim->wanted > claim->leave && claim->looked_up < MAX_LOOKED_UP_FIRST &&
		   claim->refused - refused < MAX_REFUSED && claim->unexpired < MAX_UNEXPIRED &&
		   LimitAllows(&claim->limits, &claim->segments, limit) > 0)
	{
		Segment segment;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (!NextSegment(&scan, &segment))
			break;
		if (segment.parked_at == 0 || segment.doubt_since != 0)
			continue;
		/* One that was given up without proof is looked up once more before it goes out. */
		if (!segment.unproven)
			segment.due_at = claim->now;
		take_segment(claim, &segment);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Take what is parked, as long as more actions are wanted than are to be left to what is
 * due.  No limit always comes first.
 */
static void
take_parked(Claim *claim, int leave)
{
	int count = claim->limits.count;

	claim->leave = leave;
	for (int i = 0; i < count; i++)
		take_parked_under(claim, &claim->limits.limits[(claim->token + i) % count]);
	claim->leave = 0;
}

/*
 * Take what was cut before, and what is left of what is parked.
 */
static void
take_rest(Claim *claim)
{
	for (int pass = 0; pass < MAX_PASSES && claim->cut > 0 && !claim->full; pass++)
	{
		claim->cut = 0;
		claim->lanes_freed = false;
		/* What this command has changed is not to be changed by it again. */
		CommandCounterIncrement();
		take_parked(claim, 0);
		take_due(claim, NULL, NULL);
		ResolveDoubts(&claim->doubts);
	}
	if (claim->limits.count == 0 || claim->full)
		return;
	CommandCounterIncrement();
	take_parked(claim, 0);
}

/*
 * Collect doubts of the claim's target that are to be looked up, as many as there is room
 * for.  What is decided about them depends on the consumer's settings (HoldDoubts), so the
 * consumers of other targets leave them alone.
 */
static void
collect_due_doubts(Claim *claim)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay doubts", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SegmentScan scan;
	Segment segment;

	BeginLookScan(&scan, &claim->segments, claim->target, claim->now);
	old = MemoryContextSwitchTo(context);
	while (NextSegment(&scan, &segment) && HasRoomForDoubt(&claim->doubts, &segment))
	{
		CHECK_FOR_INTERRUPTS();
		CollectDoubt(&claim->doubts, &segment);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	EndSegmentScan(&scan);
	MemoryContextDelete(context);
}

/*
 * Resolve the doubts that were met and those that are due, and take what turns out
 * to be free to go.
 */
static void
take_resolved(Claim *claim)
{
	collect_due_doubts(claim);
	ResolveDoubts(&claim->doubts);
	if (!claim->doubts.released || claim->full)
		return;
	/* What this command has changed is not to be changed by it again. */
	CommandCounterIncrement();
	/* A doubt that has ended no longer keeps its lane busy. */
	if (claim->busy_lanes != NULL)
		hash_destroy(claim->busy_lanes);
	claim->busy_lanes = NULL;
	claim->looked_up = 0;
	take_due(claim, NULL, NULL);
	ResolveDoubts(&claim->doubts);
}

/*
 * Pace the batches anew that have fallen behind their rates.
 */
static void
catch_up(Claim *claim, Oid schema)
{
	/* The claim's own changes are not to be changed by the same command. */
	if (claim->behind_count > 0)
		CommandCounterIncrement();
	for (int i = 0; i < claim->behind_count; i++)
		CatchUp(schema, claim->behind[i], claim->now);
}

/*
 * Take what is due, from where the last claim ended if that is good enough.
 */
static void
take_all(Claim *claim, Oid schema)
{
	Oid relid = RelationGetRelid(claim->segments.writer.rel);
	DuePlace place = resume.place;
	const char *target = claim->target_name == NULL ? "" : claim->target_name;
	bool resumes = resume.relid == relid && strcmp(resume.target, target) == 0 &&
				   claim->now >= resume.scanned_at &&
				   claim->now - resume.scanned_at < RESCAN_INTERVAL;
	bool begins = false;

	resume.relid = InvalidOid; /* in case of an error */
	/* Of a single one, now what is parked comes first, and now what is due. */
	take_parked(claim, (claim->wanted + (int) (claim->token & 1)) / 2);
	if (resumes)
		take_due(claim, &place, NULL);
	if (!resumes || !claim->full)
	{
		take_due(claim, NULL, resumes ? &place : NULL);
		resume.scanned_at = claim->now;
		begins = true;
	}
	take_resolved(claim);
	take_rest(claim);
	/* Not before: what was collected must not be changed by something else. */
	if (begins)
		(void) SweepCancelled(schema, &claim->segments, &claim->deliveries, MAX_SWEPT);
	WriteSpent(&claim->limits);
	catch_up(claim, schema);
	if (!claim->moved)
		return;
	resume.relid = relid;
	strlcpy(resume.target, target, sizeof(resume.target));
	resume.place = claim->place;
}

/*
 * The name of the consumer, by an argument.
 */
static text *
consumer_argument(FunctionCallInfo fcinfo, int argument)
{
	text *consumer = PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);

	if (consumer == NULL || VARSIZE_ANY_EXHDR(consumer) == 0 ||
		VARSIZE_ANY_EXHDR(consumer) > CONSUMER_MAXLEN)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("consumer must be a name of 1 to %d bytes", CONSUMER_MAXLEN),
			 errhint(
				 "It shows who holds a lease; use a host name and a process id, for example.")));
	return consumer;
}

/*
 * Read which target the consumer delivers to, and where that is; version 1.0 has neither
 * argument.
 */
static void
read_target(Claim *claim, FunctionCallInfo fcinfo)
{
	if (PG_NARGS() > 3)
	{
		if (PG_ARGISNULL(3))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("target must not be NULL"),
					 errhint("Leave it out for %s.", PRODUCTION)));
		claim->target_name = CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	}
	if (claim->target_name != NULL)
		claim->target = cstring_to_text(claim->target_name);
	if (PG_NARGS() <= 4 || PG_ARGISNULL(4))
		return;
	claim->gateway = ClipGateway(PG_GETARG_TEXT_PP(4));
}

/*
 * Warn, once in a session, of a consumer that delivers where consumers for another target
 * have delivered: it may have been started for the wrong one.
 */
static void
warn_of_gateway(const Claim *claim, Oid schema)
{
	static char warned_target[TARGET_MAXLEN + 1];
	static char warned_gateway[GATEWAY_MAXLEN + 1];
	const char *target = NameOfTarget(claim->target_name);
	const char *gateway, *other;

	if (claim->gateway == NULL)
		return;
	gateway = text_to_cstring(claim->gateway);
	if (strcmp(target, warned_target) == 0 && strcmp(gateway, warned_gateway) == 0)
		return;
	other = OtherTarget(schema, claim->target_name, claim->gateway);
	strlcpy(warned_target, target, sizeof(warned_target));
	strlcpy(warned_gateway, gateway, sizeof(warned_gateway));
	if (other != NULL)
		ereport(WARNING,
				(errmsg("a consumer for target \"%s\" delivers to %s, where consumers for target "
						"\"%s\" have delivered",
						target, gateway, other),
				 errhint(
					 "If it was started for the wrong target, stop it at once: what it delivers "
					 "counts as delivered to its own.")));
}

/*
 * Read the limits, after the trials of circuit breakers that have ended were judged.  They
 * are those of production's providers and tenants: other targets have none.
 */
static void
read_limits(Claim *claim, const ConsumerCall *call)
{
	if (claim->target != NULL)
		return;
	ReadLimits(&claim->limits, call->schema, call->now);
	if (!JudgeTrials(&claim->limits, call->caller.user))
		return;
	CloseLimits(&claim->limits);
	ReadLimits(&claim->limits, call->schema, call->now);
}

/*
 * acteon_outbox_claim(consumer text, max_actions integer, lease interval, target text,
 * gateway text) → setof (outbox_id, lease_token, attempt, action, action_id, expires_at)
 *
 * Leases up to max_actions due actions for a target until lease from now and returns them,
 * oldest first, action being the body of the gateway's POST /v1/dispatch and
 * action_id the id in it.  Returns fewer when their JSON comes to more than 16 MB.
 * Before, looks up what is in doubt and due, ends what has expired, releases the next steps
 * of canaries, and enqueues notifications.
 * Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_claim(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Claim claim = {0};
	bool tells;

	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_claim()", true);
	tells = AnyNotification(call.schema);
	LockForWriting(call.schema, WRITES_OF_QUEUE | WRITES_RELAYS | (tells ? WRITES_OF_TELLING : 0));
	NoticeServer(call.schema, call.caller.user);
	claim.result = (ReturnSetInfo *) fcinfo->resultinfo;
	claim.now = call.now;
	claim.consumer = consumer_argument(fcinfo, 0);
	claim.wanted = PositiveInteger(fcinfo, 1, "max_actions");
	claim.lease_end = LeaseEnd(fcinfo, 2, call.now);
	read_target(&claim, fcinfo);
	warn_of_gateway(&claim, call.schema);
	claim.token = draw_token();
	claim.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay action", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&claim.json);
	OpenDigest(&claim.digest);
	OpenSegments(&claim.segments, call.schema);
	OpenPartedFinder(&claim.outbox, call.schema, OUTBOX_TABLE, Anum_outbox_id);
	OpenDeliveries(&claim.deliveries, call.schema, call.now);
	InitBatchGuard(&claim.guard, call.schema);
	read_limits(&claim, &call);
	InitDoubts(&claim.doubts, call.schema, call.caller.user, call.now, &claim.segments,
			   &claim.deliveries);

	(void) AdvanceCanaries(call.schema, call.caller.user, call.now);
	if (tells)
		TellOfBatches(call.schema, call.now, !was_full);
	take_all(&claim, call.schema);
	was_full = claim.full;

	CloseDigest(&claim.digest);
	CloseBatchGuard(&claim.guard);
	CloseLimits(&claim.limits);
	CloseDeliveries(&claim.deliveries);
	CloseFinder(&claim.outbox);
	CloseSegments(&claim.segments);
	CheckBreakers(call.schema, call.caller.user, &claim.deliveries);
	if (claim.unexpired > 0 || (claim.expired > 0 && !claim.full))
		NotifyConsumers(call.schema);
	FAULT_POINT("claim-end");
	EndConsumerCall(&call);
	return (Datum) 0;
}
