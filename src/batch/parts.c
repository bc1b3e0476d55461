/*
 * parts.c
 *		The parts of a batch that are steered on their own, as its row has them.
 *
 * What holds for an action is written in its segment (queue/part.c).  The row of the batch
 * lists the parts all the same: for those who look at it; for actions that are enqueued, or
 * redriven, later; and for the rates, of which segments note only the number.
 *
 * It is an array of objects, in the order in which the parts were made: what came last
 * holds.  A part that is made again takes the place of the earlier one.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/jsonb_build.h"
#include "base/text.h"
#include "batch/parts.h"

/* Parts that a batch has at most: each chunk that is enqueued looks at all of them. */
#define MAX_PARTS 100

#define RUNNING_PART "running"

/*
 * A member of an object that is a string, NULL if there is none.
 */
static text *
string_member(JsonbContainer *object, const char *name)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(object, name, strlen(name), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/*
 * A member of an object that is a number, NULL if there is none.
 */
static Numeric
number_member(JsonbContainer *object, const char *name)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(object, name, strlen(name), &value) == NULL ||
		value.type != jbvNumeric)
		return NULL;
	return value.val.numeric;
}

/*
 * The same as an integer, 0 if there is none.
 */
static int64
integer_member(JsonbContainer *object, const char *name)
{
	Numeric number = number_member(object, name);

	return number == NULL
			   ? 0
			   : DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number)));
}

static char *
to_string(const text *value)
{
	return value == NULL ? NULL : text_to_cstring(value);
}

/*
 * A member of an object that is a time.
 */
static OptionalTime
time_member(JsonbContainer *object, const char *name)
{
	char *value = to_string(string_member(object, name));
	OptionalTime time = {.given = value != NULL};

	if (time.given)
		time.time = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(value),
															ObjectIdGetDatum(InvalidOid),
															Int32GetDatum(-1)));
	return time;
}

/*
 * Read a part.
 */
static BatchPart *
read_part(JsonbContainer *object)
{
	BatchPart *part = palloc0(sizeof(BatchPart));
	char *stop = to_string(string_member(object, "state"));

	part->tenant = string_member(object, "tenant");
	part->provider = string_member(object, "provider");
	part->action_ids = integer_member(object, "action_ids");
	if (stop != NULL && strcmp(stop, STOPPED_PAUSED) == 0)
		part->stop = BATCH_PAUSED;
	else if (stop != NULL && strcmp(stop, STOPPED_CANCELLED) == 0)
		part->stop = BATCH_CANCELLED;
	part->pace = (int) integer_member(object, "pace");
	part->rate = number_member(object, "rate");
	part->paced_until = time_member(object, "paced_until");
	part->reason = to_string(string_member(object, "reason"));
	part->by = to_string(string_member(object, "by"));
	part->at = time_member(object, "at").time;
	return part;
}

/*
 * The parts that are listed in the row of a batch; NULL is none.
 */
List *
ReadParts(Jsonb *json)
{
	List *parts = NIL;

	for (uint32 i = 0; json != NULL && i < JB_ROOT_COUNT(json); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&json->root, i);

		if (element->type == jbvBinary)
			parts = lappend(parts, read_part(element->val.binary.data));
	}
	return parts;
}

static void
push_text(JsonbParseState **state, const char *name, const text *value)
{
	if (value != NULL)
		PushString(state, name, text_to_cstring(value));
}

/*
 * Push a part as an element of an array.
 */
static void
push_part(JsonbParseState **state, const BatchPart *part)
{
	OptionalTime at = {.given = true, .time = part->at};

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_text(state, "tenant", part->tenant);
	push_text(state, "provider", part->provider);
	if (part->action_ids > 0)
		PushNumber(state, "action_ids", part->action_ids);
	if (part->pace == NO_PACE)
		PushString(state, "state",
				   part->stop == BATCH_PAUSED      ? STOPPED_PAUSED
				   : part->stop == BATCH_CANCELLED ? STOPPED_CANCELLED
												   : RUNNING_PART);
	else
	{
		JsonbValue rate = {.type = jbvNull};

		if (part->rate != NULL)
		{
			rate.type = jbvNumeric;
			rate.val.numeric = part->rate;
		}
		PushNumber(state, "pace", part->pace);
		PushKey(state, "rate");
		pushJsonbValue(state, WJB_VALUE, &rate);
		if (part->rate != NULL && part->paced_until.given)
			PushTime(state, "paced_until", &part->paced_until);
	}
	if (part->reason != NULL)
		PushString(state, "reason", part->reason);
	PushString(state, "by", part->by);
	PushTime(state, "at", &at);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * The list of parts for the row of a batch; NULL if there are none.
 */
Jsonb *
WriteParts(List *parts)
{
	JsonbParseState *state = NULL;
	ListCell *lc;

	if (parts == NIL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, parts)
		push_part(&state, lfirst(lc));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/*
 * Whether two parts are about the same actions, and about the same of stop and rate.
 */
static bool
same_part(const BatchPart *a, const BatchPart *b)
{
	return (a->pace == NO_PACE) == (b->pace == NO_PACE) && SameOptionalText(a->tenant, b->tenant) &&
		   SameOptionalText(a->provider, b->provider) && a->action_ids == 0 && b->action_ids == 0;
}

/*
 * Whether a part may have actions in common with those of a tenant or provider; NULL is any.
 */
bool
MayOverlap(const BatchPart *part, const text *tenant, const text *provider)
{
	return (part->tenant == NULL || tenant == NULL || SameText(part->tenant, tenant)) &&
		   (part->provider == NULL || provider == NULL || SameText(part->provider, provider));
}

/*
 * Whether all actions of a part that is not about named ones are those of another, too.
 */
static bool
covers(const BatchPart *part, const BatchPart *other)
{
	return part->action_ids == 0 && other->action_ids == 0 &&
		   (part->tenant == NULL || SameOptionalText(part->tenant, other->tenant)) &&
		   (part->provider == NULL || SameOptionalText(part->provider, other->provider));
}

/*
 * Whether a part may have actions in common with one that is paused.
 */
static bool
overlaps_paused(const List *parts, const BatchPart *part)
{
	ListCell *lc;

	foreach (lc, parts)
	{
		const BatchPart *other = lfirst(lc);

		if (other->pace == NO_PACE && other->stop == BATCH_PAUSED &&
			MayOverlap(other, part->tenant, part->provider))
			return true;
	}
	return false;
}

/*
 * Add a part as the last one, in place of an earlier one that is the same but for what is
 * to hold, and of those within it; or, without keep, only remove these, unless it is within
 * one that stays paused.  One with a rate, whose pace is not
 * NO_PACE, is given a number, which can be that of the earlier one.  One that is
 * cancelled stays so.  Raises
 * program_limit_exceeded if there are too many.
 */
List *
SetPart(List *parts, BatchPart *part, bool keep)
{
	ListCell *lc;

	if (part->pace != NO_PACE)
		part->pace = NumPaces(parts) + 1;
	foreach (lc, parts)
	{
		BatchPart *other = lfirst(lc);

		if (!same_part(part, other))
		{
			/* What is paused within what goes on, or is cancelled, no longer is. */
			if (part->pace == NO_PACE && part->stop != BATCH_PAUSED && other->pace == NO_PACE &&
				other->stop != BATCH_CANCELLED && covers(part, other))
				parts = foreach_delete_current(parts, lc);
			continue;
		}
		if (other->pace == NO_PACE && other->stop == BATCH_CANCELLED)
			return parts;
		part->pace = other->pace;
		parts = foreach_delete_current(parts, lc);
	}
	/* What goes on within what stays paused is listed, for what is redriven. */
	if (!keep && !overlaps_paused(parts, part))
		return parts;
	if (list_length(parts) >= MAX_PARTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a batch cannot have more than %d parts that are steered on their own",
						MAX_PARTS),
				 errhint("Steer larger parts, or all of the batch.")));
	return lappend(parts, part);
}

/*
 * The greatest number of a pace.
 */
int
NumPaces(const List *parts)
{
	ListCell *lc;
	int count = 0;

	foreach (lc, parts)
		count = Max(count, ((BatchPart *) lfirst(lc))->pace);
	return count;
}

/*
 * Whether an action, which is not named by any part, is stopped by one.
 */
BatchStop
StopOfParts(const List *parts, const text *tenant, const text *provider)
{
	BatchStop stop = BATCH_RUNS;
	ListCell *lc;

	foreach (lc, parts)
	{
		const BatchPart *part = lfirst(lc);

		if (part->pace == NO_PACE && part->action_ids == 0 && stop != BATCH_CANCELLED &&
			(part->tenant == NULL || SameText(part->tenant, tenant)) &&
			(part->provider == NULL || SameText(part->provider, provider)))
			stop = part->stop;
	}
	return stop;
}
