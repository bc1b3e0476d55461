/*
 * help_batches.c
 *		What acteon_replay_help says of batches.
 *
 * The newest batches are looked at, as the caller sees them in acteon_replay_batches.
 * Statements that could do harm are not among the rows where a person has to look first:
 * then the row has the statement that shows it.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "base/target.h"
#include "batch/may_steer.h"
#include "batch/parts.h"
#include "help/help_batches.h"
#include "query/states.h"
#include "queue/untaken.h"

/* Batches that are looked at, the newest ones. */
#define LOOKED_AT "100"

/* For how long after they were made batches are shown for what is left of them. */
#define DEAD_SHOWN (7 * USECS_PER_DAY)
#define REFUSED_SHOWN USECS_PER_DAY
#define EXPIRED_SHOWN USECS_PER_DAY

/* Paused parts of a batch that are named at most. */
#define NAMED_PARTS 3

/* For how long something has been due before nobody is said to take it. */
#define UNTAKEN_AFTER (10 * USECS_PER_SEC)

/*
 * The batches as the caller sees them.  There is no operator or function of the server's
 * in it, which the caller's search path could replace.  %s is the extension's schema.
 */
#define READ_HELPED \
	"SELECT id, created_at, state, requested_by, matched, replayed, waiting, in_flight, in_doubt," \
	"	held, delivered, dead, refused, speed, stop_reason, stopped_by, plan, awaits_until, approved_by," \
	"	expired, paused, parts, handed_to, target" \
	" FROM %s.acteon_replay_read_batches(NULL::bigint, NULL::bigint, " LOOKED_AT "::bigint)"

enum
{
	HELPED_ID = 1,
	HELPED_CREATED_AT,
	HELPED_STATE,
	HELPED_REQUESTED_BY,
	HELPED_MATCHED,
	HELPED_REPLAYED,
	HELPED_WAITING,
	HELPED_IN_FLIGHT,
	HELPED_IN_DOUBT,
	HELPED_HELD,
	HELPED_DELIVERED,
	HELPED_DEAD,
	HELPED_REFUSED,
	HELPED_SPEED,
	HELPED_STOP_REASON,
	HELPED_STOPPED_BY,
	HELPED_PLAN,
	HELPED_AWAITS_UNTIL,
	HELPED_APPROVED_BY,
	HELPED_EXPIRED,
	HELPED_PAUSED,
	HELPED_PARTS,
	HELPED_HANDED_TO,
	HELPED_TARGET
};

/* A batch. */
typedef struct HelpedBatch
{
	HeapTuple tuple;
	TupleDesc desc;
	int64 id;
	TimestampTz created_at;
	const char *state;
	int64 replayed;
	const char *reason; /* an argument to add where reasons are required */
} HelpedBatch;

/*
 * A number of a batch; 0 if the caller does not see it.
 */
static int64
helped_number(const HelpedBatch *batch, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(batch->tuple, batch->desc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * A text of a batch; NULL if there is none, or the caller does not see it.
 */
static char *
helped_text(const HelpedBatch *batch, int column)
{
	return SPI_getvalue(batch->tuple, batch->desc, column);
}

static bool
is_in_state(const HelpedBatch *batch, const char *state)
{
	return strcmp(batch->state, state) == 0;
}

/*
 * Who can steer a batch, as a sentence: empty if the caller can, and it was not handed over
 * to it.
 */
static const char *
who_can(const Help *help, const HelpedBatch *batch)
{
	char *starter = helped_text(batch, HELPED_REQUESTED_BY);
	char *receiver = helped_text(batch, HELPED_HANDED_TO);
	Steering steering = MayBeSteered(help->schema, batch->id, help->caller, help->grants);
	const char *owner = receiver != NULL ? psprintf("\"%s\", to which it was handed over", receiver)
						: starter != NULL ? psprintf("\"%s\", which started it", starter)
										  : "the role that it belongs to";

	if (steering == STEER_FREELY)
		return receiver != NULL && starter != NULL &&
					   strcmp(receiver, GetUserNameFromId(help->caller, false)) == 0
				   ? psprintf(" It was started by \"%s\" and handed over to you.", starter)
				   : "";
	if (steering == STEER_RESTRAIN)
		return psprintf(
			" You can only pause, slow down and cancel it; %s, and admins can do all of it.",
			owner);
	return psprintf(" Only %s, and admins can do that.", owner);
}

/*
 * A batch that waits for a second person.
 */
static void
help_on_approval(Help *help, const HelpedBatch *batch)
{
	char *plan = helped_text(batch, HELPED_PLAN);
	char *until = helped_text(batch, HELPED_AWAITS_UNTIL);
	char *starter = helped_text(batch, HELPED_REQUESTED_BY);

	PutHelp(
		help, "approve",
		psprintf("SELECT %sacteon_replay_approve(" INT64_FORMAT ", %s%s);", help->prefix, batch->id,
				 plan == NULL ? "plan" : quote_literal_cstr(plan), batch->reason),
		psprintf(
			"Batch " INT64_FORMAT " of \"%s\" has " INT64_FORMAT
			" records, and nothing of it is replayed before a second person, with admin grants for all of it, has approved it. That is possible until %s. Afterwards: CALL %sacteon_replay_continue(" INT64_FORMAT
			").",
			batch->id, starter == NULL ? "?" : starter, helped_number(batch, HELPED_MATCHED),
			until == NULL ? "it expires" : until, help->prefix, batch->id));
}

/*
 * A batch whose records have not all been looked at, and that nobody is at work on.
 */
static void
help_on_interrupted(Help *help, const HelpedBatch *batch)
{
	char *approved_by = helped_text(batch, HELPED_APPROVED_BY);

	PutHelp(help, "continue",
			psprintf("CALL %sacteon_replay_continue(" INT64_FORMAT ");", help->prefix, batch->id),
			approved_by != NULL && batch->replayed == 0
				? psprintf("Batch " INT64_FORMAT
						   " was approved by \"%s\". This replays its records.%s",
						   batch->id, approved_by, who_can(help, batch))
				: psprintf("The call that replayed the records of batch " INT64_FORMAT
						   " ended before it had finished. This continues it, and replays "
						   "nothing twice.%s",
						   batch->id, who_can(help, batch)));
}

/*
 * A batch that is paused.
 */
static void
help_on_paused(Help *help, const HelpedBatch *batch)
{
	char *reason = helped_text(batch, HELPED_STOP_REASON);
	char *stopped_by = helped_text(batch, HELPED_STOPPED_BY);

	if (stopped_by == NULL && reason != NULL)
		PutHelp(
			help, "items",
			psprintf(
				"SELECT original_action_id, tenant, provider, outcome, error FROM %sacteon_replay_items(" INT64_FORMAT
				", " SQL_FAILED ");",
				help->prefix, batch->id),
			psprintf("Batch " INT64_FORMAT
					 " has paused itself: %s. This shows which actions failed, and why.",
					 batch->id, reason));
	PutHelp(help, "resume",
			psprintf("SELECT * FROM %sacteon_replay_resume(" INT64_FORMAT "%s);", help->prefix,
					 batch->id, batch->reason),
			psprintf("Batch " INT64_FORMAT " is paused%s%s%s%s. This resumes it; "
					 "acteon_replay_cancel(" INT64_FORMAT ") cancels what has not been sent.%s",
					 batch->id, stopped_by == NULL ? "" : " by \"",
					 stopped_by == NULL ? "" : stopped_by, stopped_by == NULL ? "" : "\"",
					 reason == NULL ? "" : psprintf(": %s", reason), batch->id,
					 who_can(help, batch)));
}

/*
 * Actions that wait for a person's decision.
 */
static void
help_on_held(Help *help, const HelpedBatch *batch, int64 held)
{
	PutHelp(
		help, "settle",
		psprintf(
			"SELECT outbox_id, new_action_id, tenant, provider, doubt, held FROM %sacteon_replay_items(" INT64_FORMAT
			", " SQL_HELD ");",
			help->prefix, batch->id),
		psprintf("Actions of batch " INT64_FORMAT
				 " that may have been executed and wait for a decision: " INT64_FORMAT
				 ". Ask the provider about them; then acteon_replay_settle(" INT64_FORMAT
				 ", '" DECISION_DELIVERED "', 'why'), or '" DECISION_RESEND
				 "', or '" DECISION_CANCEL "'.%s",
				 batch->id, held, batch->id, who_can(help, batch)));
}

/*
 * Dead letters.
 */
static void
help_on_dead(Help *help, const HelpedBatch *batch, int64 dead)
{
	PutHelp(
		help, "redrive",
		psprintf("SELECT * FROM %sacteon_outbox_redrive(batch_id => " INT64_FORMAT "%s);",
				 help->prefix, batch->id, RequireReason ? ", reason => 'why'" : ""),
		psprintf(
			"Dead actions of batch " INT64_FORMAT ": " INT64_FORMAT
			". acteon_dead_letters shows their errors. This sends them again, once the cause is repaired.%s",
			batch->id, dead,
			GrantsMayDeliver(help->grants) ? "" : " It needs a role with a gateway grant."));
}

/*
 * Records that were refused.
 */
static void
help_on_refused(Help *help, const HelpedBatch *batch, int64 refused)
{
	PutHelp(
		help, "items",
		psprintf("SELECT original_action_id, tenant, error FROM %sacteon_replay_items(" INT64_FORMAT
				 ", " SQL_REFUSED ");",
				 help->prefix, batch->id),
		psprintf("Records of batch " INT64_FORMAT " that could not be replayed: " INT64_FORMAT
				 ". This shows which, and why.",
				 batch->id, refused));
}

/*
 * Actions that expired before they could be sent.
 */
static void
help_on_expired(Help *help, const HelpedBatch *batch, int64 expired)
{
	PutHelp(
		help, "items",
		psprintf(
			"SELECT original_action_id, tenant, provider, expires_at FROM %sacteon_replay_items(" INT64_FORMAT
			", " SQL_EXPIRED ");",
			help->prefix, batch->id),
		psprintf(
			"Actions of batch " INT64_FORMAT " that expired before they were sent: " INT64_FORMAT
			". This shows which. To replay those that are still of use, pass their ids to acteon_replay_bulk as action_ids, with a longer expire_after or none, and with allow_ended => true if their own ends_at has passed.",
			batch->id, expired));
}

/*
 * The parts of a batch that are paused on their own, for a text: in parentheses, or
 * empty if none is listed.
 */
static char *
paused_parts(const HelpedBatch *batch)
{
	StringInfoData list;
	bool isnull;
	Datum parts = SPI_getbinval(batch->tuple, batch->desc, HELPED_PARTS, &isnull);
	int count = 0;
	ListCell *lc;

	initStringInfo(&list);
	foreach (lc, isnull ? NIL : ReadParts(DatumGetJsonbP(parts)))
	{
		BatchPart *part = lfirst(lc);

		if (part->stop != BATCH_PAUSED || part->pace != NO_PACE)
			continue;
		if (count == NAMED_PARTS)
		{
			appendStringInfoString(&list, "; ...");
			break;
		}
		appendStringInfoString(&list, count++ == 0 ? " (" : "; ");
		if (part->tenant != NULL)
			appendStringInfo(&list, "tenant \"%s\"", text_to_cstring(part->tenant));
		if (part->provider != NULL)
			appendStringInfo(&list, "%sprovider \"%s\"", part->tenant == NULL ? "" : ", ",
							 text_to_cstring(part->provider));
		if (part->by != NULL)
			appendStringInfo(&list, ", by \"%s\"", part->by);
		if (part->reason != NULL)
			appendStringInfo(&list, ": %s", part->reason);
	}
	if (count > 0)
		appendStringInfoChar(&list, ')');
	return list.data;
}

/*
 * Actions that are paused apart from the rest of their batch.
 */
static void
help_on_parts(Help *help, const HelpedBatch *batch, int64 paused)
{
	PutHelp(help, "resume",
			psprintf("SELECT * FROM %sacteon_replay_resume(" INT64_FORMAT "%s, parts => true);",
					 help->prefix, batch->id, batch->reason),
			psprintf("Waiting actions of batch " INT64_FORMAT
					 " that were paused on their own: " INT64_FORMAT
					 "%s. This resumes all of them%s; with tenant, provider or action_ids in place "
					 "of parts, only these.%s",
					 batch->id, paused, paused_parts(batch),
					 is_in_state(batch, BATCH_STATE_PAUSED) ? ", and the batch" : "",
					 who_can(help, batch)));
}

/*
 * A batch that goes on by itself.
 */
static void
help_on_running(Help *help, const HelpedBatch *batch)
{
	PutHelp(
		help, "batches",
		psprintf(
			"SELECT state, progress, waiting, in_flight, delivered, dead, time_left FROM %sacteon_replay_batches WHERE batch_id = " INT64_FORMAT
			";",
			help->prefix, batch->id),
		psprintf("Batch " INT64_FORMAT " is %s; delivered: " INT64_FORMAT " of " INT64_FORMAT
				 " actions. acteon_replay_pause(" INT64_FORMAT
				 ") stops it, acteon_replay_set_rate(" INT64_FORMAT
				 ", 5) changes its speed, acteon_replay_cancel(" INT64_FORMAT
				 ") cancels what has not been sent.%s",
				 batch->id, batch->state, helped_number(batch, HELPED_DELIVERED), batch->replayed,
				 batch->id, batch->id, batch->id, who_can(help, batch)));
}

/*
 * What there is to do about a batch.
 */
static void
help_on_batch(Help *help, const HelpedBatch *batch)
{
	int64 held = helped_number(batch, HELPED_HELD);
	int64 dead = helped_number(batch, HELPED_DEAD);
	int64 refused = helped_number(batch, HELPED_REFUSED);
	int64 expired = helped_number(batch, HELPED_EXPIRED);
	int64 paused = helped_number(batch, HELPED_PAUSED);

	if (is_in_state(batch, BATCH_STATE_AWAITING_APPROVAL))
		help_on_approval(help, batch);
	else if (is_in_state(batch, BATCH_STATE_INTERRUPTED))
		help_on_interrupted(help, batch);
	else if (is_in_state(batch, BATCH_STATE_PAUSED))
		help_on_paused(help, batch);
	if (paused > 0)
		help_on_parts(help, batch, paused);
	if (held > 0)
		help_on_held(help, batch, held);
	if (dead > 0 && batch->created_at > help->now - DEAD_SHOWN &&
		!is_in_state(batch, BATCH_STATE_CANCELLED))
		help_on_dead(help, batch, dead);
	if (refused > 0 && batch->created_at > help->now - REFUSED_SHOWN)
		help_on_refused(help, batch, refused);
	if (expired > 0 && batch->created_at > help->now - EXPIRED_SHOWN)
		help_on_expired(help, batch, expired);
	if (is_in_state(batch, BATCH_STATE_ENQUEUING) || is_in_state(batch, BATCH_STATE_RUNNING) ||
		is_in_state(batch, BATCH_STATE_SCHEDULED))
		help_on_running(help, batch);
}

/*
 * Whether actions of a batch are to go out, or to be looked up, and none goes.
 */
static bool
stands_still(const HelpedBatch *batch)
{
	char *speed = helped_text(batch, HELPED_SPEED);

	return helped_number(batch, HELPED_WAITING) + helped_number(batch, HELPED_IN_DOUBT) >
			   helped_number(batch, HELPED_HELD) &&
		   helped_number(batch, HELPED_IN_FLIGHT) == 0 &&
		   (is_in_state(batch, BATCH_STATE_RUNNING) || is_in_state(batch, BATCH_STATE_ENQUEUING) ||
			is_in_state(batch, BATCH_STATE_IN_DOUBT)) &&
		   (speed == NULL || strspn(speed, "0.") == strlen(speed));
}

/*
 * Actions for a target that are due and that no consumer takes.
 */
static void
help_on_untaken(Help *help, const char *target)
{
	bool elsewhere = strcmp(target, PRODUCTION) != 0;
	OptionalTime since = FindUntaken(help->schema, elsewhere ? target : NULL, help->now);

	if (!since.given || since.time > help->now - UNTAKEN_AFTER)
		return;
	PutHelp(
		help, "relay",
		elsewhere ? psprintf("acteon-relay --target=%s --check", target) : "acteon-relay --check",
		psprintf(
			"Actions%s%s have been due since %s, and no relay claims them. This command, where the relay is to run, tells what it lacks; without --check, it starts the relay.",
			elsewhere ? " for target " : "", elsewhere ? target : "",
			timestamptz_to_str(since.time)));
}

/*
 * Say what there is to do about the newest batches that the caller sees.  Needs an SPI
 * connection.
 */
void
HelpOnBatches(Help *help)
{
	SPITupleTable *rows;
	uint64 count;
	List *still = NIL; /* targets */
	ListCell *lc;

	if (SPI_execute(psprintf(READ_HELPED, help->quoted), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the batches: %s", SPI_result_code_string(SPI_result));
	rows = SPI_tuptable;
	count = SPI_processed;
	help->batches = (int) count;
	for (uint64 i = count; i > 0; i--)
	{
		HelpedBatch batch = {.tuple = rows->vals[i - 1], .desc = rows->tupdesc};
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		batch.id = helped_number(&batch, HELPED_ID);
		batch.replayed = helped_number(&batch, HELPED_REPLAYED);
		batch.created_at =
			DatumGetTimestampTz(SPI_getbinval(batch.tuple, batch.desc, HELPED_CREATED_AT, &isnull));
		batch.state = helped_text(&batch, HELPED_STATE);
		batch.reason = RequireReason ? ", 'why'" : "";
		help_on_batch(help, &batch);
		if (stands_still(&batch))
			still = list_append_unique(still, makeString(helped_text(&batch, HELPED_TARGET)));
	}
	foreach (lc, still)
		help_on_untaken(help, strVal(lfirst(lc)));
	SPI_freetuptable(rows);
}
