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
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "help/help_batches.h"
#include "query/states.h"
#include "queue/untaken.h"

/* Batches that are looked at, the newest ones. */
#define LOOKED_AT "100"

/* For how long after they were made batches are shown for what is left of them. */
#define DEAD_SHOWN (7 * USECS_PER_DAY)
#define REFUSED_SHOWN USECS_PER_DAY

/* For how long something has been due before nobody is said to take it. */
#define UNTAKEN_AFTER (10 * USECS_PER_SEC)

/*
 * The batches as the caller sees them.  There is no operator or function of the server's
 * in it, which the caller's search path could replace.  %s is the extension's schema.
 */
#define READ_HELPED \
	"SELECT id, created_at, state, requested_by, matched, replayed, waiting, in_flight, in_doubt," \
	"	held, delivered, dead, refused, speed, stop_reason, stopped_by, plan, awaits_until, approved_by" \
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
	HELPED_APPROVED_BY
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
	const char *by;     /* who can do it, if the caller may not be able to */
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
 * Who else can steer a batch that the caller has not started, as a sentence.
 */
static const char *
who_can(const Help *help, const HelpedBatch *batch)
{
	char *starter = helped_text(batch, HELPED_REQUESTED_BY);

	if (GrantsEverything(help->grants))
		return "";
	if (starter == NULL)
		return " The role that started it can do that, and admins.";
	if (strcmp(starter, GetUserNameFromId(help->caller, false)) == 0)
		return "";
	return psprintf(" \"%s\", who started it, can do that, and admins.", starter);
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
						   batch->id, approved_by, batch->by)
				: psprintf("The call that replayed the records of batch " INT64_FORMAT
						   " has ended before it was through. This goes on, and replays "
						   "nothing twice.%s",
						   batch->id, batch->by));
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
				", 'failed');",
				help->prefix, batch->id),
			psprintf("Batch " INT64_FORMAT
					 " has paused itself: %s. This shows which actions failed, and why.",
					 batch->id, reason));
	PutHelp(help, "resume",
			psprintf("SELECT * FROM %sacteon_replay_resume(" INT64_FORMAT "%s);", help->prefix,
					 batch->id, batch->reason),
			psprintf("Batch " INT64_FORMAT " is paused%s%s%s%s. This goes on with it; "
					 "acteon_replay_cancel(" INT64_FORMAT ") takes back what was not sent.%s",
					 batch->id, stopped_by == NULL ? "" : " by \"",
					 stopped_by == NULL ? "" : stopped_by, stopped_by == NULL ? "" : "\"",
					 reason == NULL ? "" : psprintf(": %s", reason), batch->id, batch->by));
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
			", 'held');",
			help->prefix, batch->id),
		psprintf("Actions of batch " INT64_FORMAT
				 " that may have been executed and wait for a decision: " INT64_FORMAT
				 ". Ask the provider about them; then acteon_replay_settle(" INT64_FORMAT
				 ", 'delivered', 'why'), or 'resend', or 'cancel'.%s",
				 batch->id, held, batch->id, batch->by));
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
				 ", 'refused');",
				 help->prefix, batch->id),
		psprintf("Records of batch " INT64_FORMAT " that could not be replayed: " INT64_FORMAT
				 ". This shows which, and why.",
				 batch->id, refused));
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
				 ") takes back what was not sent.%s",
				 batch->id, batch->state, helped_number(batch, HELPED_DELIVERED), batch->replayed,
				 batch->id, batch->id, batch->id, batch->by));
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

	if (is_in_state(batch, BATCH_STATE_AWAITING_APPROVAL))
		help_on_approval(help, batch);
	else if (is_in_state(batch, BATCH_STATE_INTERRUPTED))
		help_on_interrupted(help, batch);
	else if (is_in_state(batch, BATCH_STATE_PAUSED))
		help_on_paused(help, batch);
	if (held > 0)
		help_on_held(help, batch, held);
	if (dead > 0 && batch->created_at > help->now - DEAD_SHOWN &&
		!is_in_state(batch, BATCH_STATE_CANCELLED))
		help_on_dead(help, batch, dead);
	if (refused > 0 && batch->created_at > help->now - REFUSED_SHOWN)
		help_on_refused(help, batch, refused);
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
 * Actions that are due and that no consumer takes.
 */
static void
help_on_untaken(Help *help)
{
	Untaken untaken;
	const char *options;

	FindUntaken(&untaken, help->schema, NULL, help->now);
	if (!untaken.since.given || untaken.since.time > help->now - UNTAKEN_AFTER)
		return;
	options = RelayOptions(untaken.target);
	PutHelp(
		help, "relay", psprintf("acteon-relay%s --check", options),
		psprintf(
			"Actions%s have been due since %s, and no relay claims them. This command, where the relay is to run, tells what it lacks; acteon-relay%s starts it.",
			*options == '\0' ? "" : psprintf(" for target %s", untaken.target),
			timestamptz_to_str(untaken.since.time), options));
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
	bool is_still = false;

	if (SPI_execute(psprintf(READ_HELPED, help->quoted), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the batches: %s", SPI_result_code_string(SPI_result));
	rows = SPI_tuptable;
	count = SPI_processed;
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
		batch.by = who_can(help, &batch);
		help_on_batch(help, &batch);
		is_still = is_still || stands_still(&batch);
	}
	if (is_still)
		help_on_untaken(help);
	SPI_freetuptable(rows);
}
