/*
 * notify_payload.c
 *		Payloads of notifications: templates, and what is filled in.
 *
 * A template is any jsonb.  In its string values, not in its keys, {{name}} stands for
 * a fact about the batch.  What is filled in is only text inside a JSON string: it is
 * never read as JSON, SQL, or as a template again.  A string that is nothing but the
 * place of a number becomes that number, and null where there is no value.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "base/message.h"
#include "base/rfc3339.h"
#include "base/target.h"
#include "batch/batch_pace.h"
#include "batch/batch_state.h"
#include "batch/notify_payload.h"
#include "query/stored_query.h"
#include "queue/effect.h"
#include "queue/schedule.h"
#include "queue/tally.h"

#define OPENS "{{"
#define CLOSES "}}"

/* Bytes of a reason that is filled in; a template may name it thousands of times. */
#define REASON_MAXLEN 1000

/* Facts that a template can name. */
typedef enum Fact
{
	FACT_NOTIFICATION,
	FACT_EVENT,
	FACT_SUMMARY,
	FACT_WHAT_TO_DO,
	FACT_BATCH_ID,
	FACT_STATE,
	FACT_REASON,
	FACT_REQUESTED_BY,
	FACT_CREATED_AT,
	FACT_AT,
	FACT_STOP_REASON,
	FACT_REPLAYED,
	FACT_REFUSED,
	FACT_SKIPPED,
	FACT_PASSED_OVER,
	FACT_WAITING,
	FACT_IN_FLIGHT,
	FACT_IN_DOUBT,
	FACT_HELD,
	FACT_DELIVERED,
	FACT_DONE,
	FACT_DEAD,
	FACT_CANCELLED,
	FACT_EXPIRED,
	FACT_DATABASE,
	FACT_TARGET,
	NUM_FACTS
} Fact;

static const char *const fact_names[NUM_FACTS] = {
	[FACT_NOTIFICATION] = "notification",
	[FACT_EVENT] = "event",
	[FACT_SUMMARY] = "summary",
	[FACT_WHAT_TO_DO] = "what_to_do",
	[FACT_BATCH_ID] = "batch_id",
	[FACT_STATE] = "state",
	[FACT_REASON] = "reason",
	[FACT_REQUESTED_BY] = "requested_by",
	[FACT_CREATED_AT] = "created_at",
	[FACT_AT] = "at",
	[FACT_STOP_REASON] = "stop_reason",
	[FACT_REPLAYED] = "replayed",
	[FACT_REFUSED] = STATE_REFUSED,
	[FACT_SKIPPED] = "skipped",
	[FACT_PASSED_OVER] = "passed_over",
	[FACT_WAITING] = STATE_WAITING,
	[FACT_IN_FLIGHT] = "in_flight",
	[FACT_IN_DOUBT] = STATE_IN_DOUBT,
	[FACT_HELD] = STATE_HELD,
	[FACT_DELIVERED] = STATE_DELIVERED,
	[FACT_DONE] = "done",
	[FACT_DEAD] = STATE_DEAD,
	[FACT_CANCELLED] = STATE_CANCELLED,
	[FACT_EXPIRED] = STATE_EXPIRED,
	[FACT_DATABASE] = "database",
	[FACT_TARGET] = "target",
};

/* The value of a fact: a text, or a number. */
typedef struct FactValue
{
	const char *text; /* NULL: there is none, if it is no number */
	bool is_number;
	int64 number;
} FactValue;

/* ----------------------------------------------------------------
 * Templates
 * ----------------------------------------------------------------
 */

/*
 * Find the next place of a fact in a string, from *at on.  Returns false at the end.
 * Sets *at behind it, *start and *name_len.  Braces that enclose no name of letters and
 * underscores are ordinary text.
 */
static bool
next_place(const char *string, int len, int *at, int *start, int *name_len)
{
	const int brace = strlen(OPENS);

	for (int i = *at; i + 2 * brace <= len; i++)
	{
		int end = i + brace;

		if (memcmp(string + i, OPENS, brace) != 0)
			continue;
		while (end < len && ((string[end] >= 'a' && string[end] <= 'z') || string[end] == '_'))
			end++;
		if (end == i + brace || end + brace > len || memcmp(string + end, CLOSES, brace) != 0)
			continue;
		*start = i;
		*name_len = end - i - brace;
		*at = end + brace;
		return true;
	}
	return false;
}

/*
 * The fact of a name; NUM_FACTS if there is none.
 */
static Fact
find_fact(const char *name, int len)
{
	Fact fact = 0;

	while (fact < NUM_FACTS &&
		   !((int) strlen(fact_names[fact]) == len && memcmp(fact_names[fact], name, len) == 0))
		fact++;
	return fact;
}

/*
 * Raise the error of a name in a template that is no fact.
 */
static void
check_string(const char *string, int len)
{
	int at = 0, start, name_len;

	while (next_place(string, len, &at, &start, &name_len))
	{
		const char *name = string + start + strlen(OPENS);

		if (find_fact(name, name_len) == NUM_FACTS)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("payload has a placeholder {{%s}}, which does not exist",
								   ClipForMessage(name, name_len)),
							errhint("Placeholders are %s.", ListNames(fact_names, NUM_FACTS))));
	}
}

/*
 * Check a template.  Raises invalid_parameter_value if it has a placeholder that does
 * not exist.
 */
void
CheckTemplate(Jsonb *template)
{
	JsonbIterator *it = JsonbIteratorInit(&template->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
			check_string(value.val.string.val, value.val.string.len);
	}
}

/*
 * Append the value of a fact as text.
 */
static void
append_fact(StringInfo result, const FactValue *value)
{
	if (value->is_number)
		appendStringInfo(result, INT64_FORMAT, value->number);
	else if (value->text != NULL)
		appendStringInfoString(result, value->text);
}

/*
 * Fill in a string of a template.
 */
static void
fill_string(JsonbValue *string, const FactValue *values)
{
	const char *template = string->val.string.val;
	int len = string->val.string.len;
	int at = 0, copied = 0, start, name_len;
	StringInfoData result;

	initStringInfo(&result);
	while (next_place(template, len, &at, &start, &name_len))
	{
		Fact fact = find_fact(template + start + strlen(OPENS), name_len);
		const FactValue *value = &values[fact];

		/* Whoever writes the table by hand may have written anything. */
		if (fact == NUM_FACTS)
			continue;
		if (start == 0 && at == len && (value->is_number || value->text == NULL))
		{
			string->type = value->is_number ? jbvNumeric : jbvNull;
			if (value->is_number)
				string->val.numeric = int64_to_numeric(value->number);
			return;
		}
		appendBinaryStringInfo(&result, template + copied, start - copied);
		append_fact(&result, value);
		copied = at;
	}
	appendBinaryStringInfo(&result, template + copied, len - copied);
	string->val.string.val = result.data;
	string->val.string.len = result.len;
}

/*
 * A template with values filled in.
 */
static Jsonb *
fill(Jsonb *template, const FactValue *values)
{
	JsonbIterator *it = JsonbIteratorInit(&template->root);
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM;
		bool is_scalar = token == WJB_BEGIN_ARRAY && value.val.array.rawScalar;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY && has_value && value.type == jbvString)
			fill_string(&value, values);
		result = pushJsonbValue(&state, token, has_value || is_scalar ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}

/* ----------------------------------------------------------------
 * Facts
 * ----------------------------------------------------------------
 */

static void
set_text(FactValue *values, Fact fact, const char *text)
{
	values[fact].text = text;
}

static void
set_number(FactValue *values, Fact fact, int64 number)
{
	values[fact].is_number = true;
	values[fact].number = number;
}

static void
set_time(FactValue *values, Fact fact, TimestampTz time)
{
	char *text = palloc(RFC3339_MAXLEN);

	FormatRfc3339(text, time);
	set_text(values, fact, text);
}

/*
 * Count the actions of a batch that are in the queue.  What is cancelled and has not been
 * swept yet counts as cancelled.
 */
static void
count_queue(FactValue *values, Oid schema, const BatchRow *batch, TimestampTz now)
{
	BatchQueue queue = QueueOfBatch(schema, batch, now);
	QueueCounts counts = CountQueue(&queue);

	values[FACT_CANCELLED].number += counts.cancelled;
	set_number(values, FACT_WAITING, counts.waiting);
	set_number(values, FACT_IN_FLIGHT, counts.in_flight);
	set_number(values, FACT_IN_DOUBT, counts.in_doubt);
	set_number(values, FACT_HELD, counts.held);
	set_text(values, FACT_STATE,
			 BatchState(schema, batch,
						QueueContents(counts.waiting + counts.cancelled, counts.in_flight,
									  counts.in_doubt),
						now));
}

/*
 * Count the actions of a batch that have ended.
 */
static void
count_ended(FactValue *values, Oid schema, int64 batch_id)
{
	static const struct
	{
		ActionState state;
		Fact fact;
	} ends[] = {{ACTION_DELIVERED, FACT_DELIVERED},
				{ACTION_DEAD, FACT_DEAD},
				{ACTION_CANCELLED, FACT_CANCELLED},
				{ACTION_EXPIRED, FACT_EXPIRED}};
	TallyScan scan;
	TallyRow row;

	set_number(values, FACT_DONE, 0);
	for (int i = 0; i < lengthof(ends); i++)
		set_number(values, ends[i].fact, 0);
	BeginTallyScan(&scan, schema, batch_id, DT_NOBEGIN, GetLatestSnapshot());
	while (NextTallyRow(&scan, &row))
	{
		for (int i = 0; i < lengthof(ends); i++)
		{
			if (row.state == ends[i].state)
				values[ends[i].fact].number += row.actions;
		}
		if (row.state == ACTION_DELIVERED && row.effect == EFFECT_DONE)
			values[FACT_DONE].number += row.actions;
		if (row.provider != NULL)
			pfree(row.provider);
	}
	EndTallyScan(&scan);
}

/*
 * A reason as it is filled in: cut between characters if it is long.
 */
static char *
clip_reason(const char *reason)
{
	return reason == NULL ? NULL
						  : pnstrdup(reason, pg_mbcliplen(reason, strlen(reason), REASON_MAXLEN));
}

/*
 * How many actions have expired, as the end of a sentence; empty if none has.
 */
static const char *
expired_text(const FactValue *values)
{
	return values[FACT_EXPIRED].number == 0
			   ? ""
			   : psprintf(", " INT64_FORMAT " have expired", values[FACT_EXPIRED].number);
}

/*
 * What has happened, in a sentence.
 */
static char *
summary(const FactValue *values, const BatchRow *batch, BatchEvent event)
{
	const char *stop_reason = values[FACT_STOP_REASON].text;
	const char *why = stop_reason == NULL ? "no reason was given" : stop_reason;
	char until[RFC3339_MAXLEN];

	switch (event)
	{
		case EVENT_FINISHED:
			return psprintf("Batch " INT64_FORMAT " is finished: of " INT64_FORMAT
							" actions " INT64_FORMAT " took effect, " INT64_FORMAT " are dead%s",
							batch->id, batch->replayed, values[FACT_DONE].number,
							values[FACT_DEAD].number, expired_text(values));
		case EVENT_CANCELLED:
			return psprintf("Batch " INT64_FORMAT " is cancelled (%s): of " INT64_FORMAT
							" actions " INT64_FORMAT " took effect, " INT64_FORMAT
							" were not sent%s",
							batch->id,
							ApprovalOf(batch) == APPROVAL_EXPIRED ? APPROVAL_EXPIRED_REASON : why,
							batch->replayed, values[FACT_DONE].number,
							values[FACT_CANCELLED].number, expired_text(values));
		case EVENT_PAUSED:
			return psprintf("Batch " INT64_FORMAT " has paused itself (%s)", batch->id, why);
		case EVENT_CANARY:
			return psprintf("Batch " INT64_FORMAT
							" is paused by its canary and waits for a person (%s)",
							batch->id, why);
		case EVENT_APPROVAL:
			FormatRfc3339(until, batch->awaits_until.time);
			return psprintf("Batch " INT64_FORMAT " waits for approval until %s", batch->id, until);
		case EVENT_INTERRUPTED:
			return psprintf("Batch " INT64_FORMAT " was interrupted after " INT64_FORMAT
							" actions were enqueued",
							batch->id, batch->replayed);
		case EVENT_HELD:
			return psprintf(INT64_FORMAT " actions of batch " INT64_FORMAT
										 " are in doubt and wait for a person",
							values[FACT_HELD].number, batch->id);
	}
	return NULL;
}

/*
 * The call of a function of the extension's, as a statement.
 */
static char *
statement(const char *verb, Oid schema, const char *call)
{
	return psprintf("%s %s.%s", verb, quote_identifier(get_namespace_name(schema)), call);
}

/*
 * The statement that helps, which is shown and never executed; NULL if nothing has to be
 * done.
 */
static char *
what_to_do(const FactValue *values, Oid schema, const BatchRow *batch, BatchEvent event)
{
	const char *table = "SELECT * FROM";
	char id[32];

	snprintf(id, sizeof(id), INT64_FORMAT, batch->id);
	switch (event)
	{
		case EVENT_FINISHED:
			return values[FACT_DEAD].number == 0
					   ? NULL
					   : statement(table, schema,
								   psprintf("acteon_replay_items(%s, " SQL_DEAD ")", id));
		case EVENT_CANCELLED:
			return NULL;
		case EVENT_PAUSED:
		case EVENT_CANARY:
			return statement(table, schema, psprintf("acteon_replay_resume(%s)", id));
		case EVENT_APPROVAL:
			return statement("SELECT", schema,
							 psprintf("acteon_replay_approve(%s, '%s')", id,
									  batch->plan == NULL ? "" : batch->plan));
		case EVENT_INTERRUPTED:
			return statement("CALL", schema, psprintf("acteon_replay_continue(%s)", id));
		case EVENT_HELD:
			return statement(table, schema, psprintf("acteon_replay_items(%s, " SQL_HELD ")", id));
	}
	return NULL;
}

/*
 * The payload of a notification about an event of a batch, in the current memory
 * context.
 */
Jsonb *
FillTemplate(const Notification *notification, Oid schema, const BatchRow *batch, BatchEvent event,
			 TimestampTz now)
{
	FactValue values[NUM_FACTS] = {0};

	set_text(values, FACT_NOTIFICATION, notification->name);
	set_text(values, FACT_EVENT, BatchEventNames[event]);
	set_number(values, FACT_BATCH_ID, batch->id);
	set_text(values, FACT_REASON, clip_reason(batch->reason));
	if (OidIsValid(batch->requested_by))
		set_text(values, FACT_REQUESTED_BY, GetUserNameFromId(batch->requested_by, true));
	set_time(values, FACT_CREATED_AT, batch->created_at);
	set_time(values, FACT_AT, now);
	set_text(values, FACT_STOP_REASON, clip_reason(batch->stop_reason));
	set_number(values, FACT_REPLAYED, batch->replayed);
	set_number(values, FACT_REFUSED, batch->failed);
	set_number(values, FACT_SKIPPED, batch->skipped);
	set_number(values, FACT_PASSED_OVER, batch->passed_over);
	set_text(values, FACT_DATABASE, get_database_name(MyDatabaseId));
	set_text(values, FACT_TARGET, NameOfTarget(StoredTarget(batch->query)));
	count_ended(values, schema, batch->id);
	count_queue(values, schema, batch, now);
	set_text(values, FACT_SUMMARY, summary(values, batch, event));
	set_text(values, FACT_WHAT_TO_DO, what_to_do(values, schema, batch, event));
	return fill(notification->payload, values);
}
