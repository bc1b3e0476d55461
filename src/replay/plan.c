/*
 * plan.c
 *		Plans: what a preview has shown, to be replayed exactly so.
 *
 * A plan is a text, "plan.<contents>.<seal>", that a preview returns.  The contents are
 * JSON in base64url: the query with absolute times, how many records there were and
 * which, who asked, in which database, and until when the plan holds.  The seal
 * (secret.c) shows that this installation has written it.  So a plan needs no row, and
 * a standby can make one.  It is no secret and gives no rights: a replay checks the
 * grants again.
 *
 * A replay that is given a plan looks at the records again before it writes anything,
 * and is refused if anything has changed.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base64url.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/jsonb_build.h"
#include "base/replay_id.h"
#include "base/rfc3339.h"
#include "base/secret.h"
#include "base/settings.h"
#include "batch/control_log.h"
#include "query/query.h"
#include "replay/plan.h"
#include "replay/survey.h"

#define PLAN_PREFIX "plan."

/* ----------------------------------------------------------------
 * Counting
 * ----------------------------------------------------------------
 */

/*
 * Begin to count, in the current memory context.
 */
void
InitPlanCounts(PlanCounts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->context = CurrentMemoryContext;
}

/*
 * The order of a record and of a place in time: by time, then by id.
 */
static int
compare_with(const AuditRecord *record, TimestampTz time, const char *id, int id_len)
{
	int len = VARSIZE_ANY_EXHDR(record->id);
	int order;

	if (record->dispatched_at != time)
		return record->dispatched_at < time ? -1 : 1;
	order = memcmp(VARDATA_ANY(record->id), id, Min(len, id_len));
	return order != 0 ? order : len - id_len;
}

/*
 * The order of two records.
 */
static int
compare_records(const AuditRecord *a, const AuditRecord *b)
{
	return compare_with(a, b->dispatched_at, VARDATA_ANY(b->id), VARSIZE_ANY_EXHDR(b->id));
}

/*
 * The order of a record and of the one at an end.
 */
static int
compare_with_end(const AuditRecord *record, const PlanEnd *end)
{
	return compare_with(record, end->dispatched_at.time, end->id, strlen(end->id));
}

/*
 * Let a record be an end.
 */
static void
set_end(PlanCounts *counts, PlanEnd *end, const AuditRecord *record)
{
	MemoryContext old = MemoryContextSwitchTo(counts->context);

	if (end->id != NULL)
		pfree(end->id);
	end->id = text_to_cstring(record->id);
	end->dispatched_at = (OptionalTime){true, record->dispatched_at};
	MemoryContextSwitchTo(old);
}

/*
 * Count a window of records that have been judged; see survey.h.
 */
void
CountForPlan(PlanCounts *counts, const ReplayItem *items, int count)
{
	const AuditRecord *first = NULL;
	const AuditRecord *last = NULL;

	for (int i = 0; i < count; i++)
	{
		const AuditRecord *record = items[i].record;

		counts->matched++;
		counts->reasons[items[i].reason]++;
		if (counts->scope != NULL && record->missing == NULL &&
			(items[i].status == ITEM_PENDING || items[i].status == ITEM_FAILED))
			(void) AddToScope(counts->scope, record);
		if (first == NULL || compare_records(record, first) < 0)
			first = record;
		if (last == NULL || compare_records(record, last) > 0)
			last = record;
		if (items[i].status != ITEM_PENDING)
			continue;
		counts->replayable++;
		counts->digest += hash_bytes_extended((const unsigned char *) VARDATA_ANY(record->id),
											  VARSIZE_ANY_EXHDR(record->id),
											  record->dispatched_at + items[i].replays);
	}
	if (first != NULL && (counts->first.id == NULL || compare_with_end(first, &counts->first) < 0))
		set_end(counts, &counts->first, first);
	if (last != NULL && (counts->last.id == NULL || compare_with_end(last, &counts->last) > 0))
		set_end(counts, &counts->last, last);
}

/*
 * Make a query, which has a filter and an end, one that holds for the records that were
 * counted, whenever it is asked again: give it a beginning and a number of records.
 * Returns the bits of the options that were not given like this.
 */
uint64
CompleteQuery(ReplayQuery *query, const PlanCounts *counts)
{
	const OptionalTime *first = &counts->first.dispatched_at;
	uint64 completed = query->is_cut ? OPTION_BIT(OPTION_TO) : 0;

	if (query->fill_limit)
		completed |= OPTION_BIT(OPTION_FILL_LIMIT);
	if (!query->from.given && first->given && IsRfc3339Time(first->time))
	{
		query->from = *first;
		completed |= OPTION_BIT(OPTION_FROM);
	}
	if (query->from.given && query->from.time > query->to.time)
		query->to.time = query->from.time; /* all of it lies in the future */
	if (!query->is_limited && counts->matched <= PG_INT32_MAX)
	{
		SetInteger(query, OPTION_MAX_RECORDS, Max(counts->matched, 1));
		completed |= OPTION_BIT(OPTION_MAX_RECORDS);
	}
	if (query->cursor_text != NULL)
		query->cursor_text = MakeCursor(query, &query->cursor);
	return completed;
}

/* ----------------------------------------------------------------
 * Writing and reading
 * ----------------------------------------------------------------
 */

/*
 * Push an end.
 */
static void
push_end(JsonbParseState **state, const char *time_name, const char *id_name, const PlanEnd *end)
{
	PushNumber(state, time_name, end->dispatched_at.time);
	PushString(state, id_name, end->id);
}

/*
 * The contents of a plan.
 */
static Jsonb *
plan_contents(const ReplayQuery *query, uint64 completed, const PlanCounts *counts, Oid caller,
			  TimestampTz now)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushJsonb(&state, "query", QueryToJsonb(query));
	PushNumber(&state, "completed", (int64) completed);
	PushNumber(&state, "matched", counts->matched);
	PushNumber(&state, "replayable", counts->replayable);
	push_end(&state, "first_at", "first", &counts->first);
	push_end(&state, "last_at", "last", &counts->last);
	PushNumber(&state, "digest", (int64) counts->digest);
	PushKey(&state, "reasons");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (Reason reason = REASON_NONE + 1; reason < NUM_REASONS; reason++)
	{
		if (counts->reasons[reason] > 0)
			PushNumber(&state, ReasonName(reason), counts->reasons[reason]);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	PushNumber(&state, "caller", caller);
	PushNumber(&state, "database", MyDatabaseId);
	PushNumber(&state, "system", (int64) GetSystemIdentifier());
	PushNumber(&state, "expires", now + PLAN_HOURS * USECS_PER_HOUR);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Make a plan of a query that a preview has completed, for its caller: completed has the
 * bits of the options that it has added.
 */
char *
MakePlan(Oid schema, const ReplayQuery *query, uint64 completed, const PlanCounts *counts,
		 Oid caller, TimestampTz now)
{
	Jsonb *contents = plan_contents(query, completed, counts, caller, now);
	char *json = JsonbToCString(NULL, &contents->root, VARSIZE(contents));
	char *encoded = Base64UrlEncode(json, strlen(json));
	char seal[TEXT_SEAL_LEN + 1];

	SealText(schema, seal, encoded, strlen(encoded));
	return psprintf(PLAN_PREFIX "%s.%s", encoded, seal);
}

/*
 * The digest that names a plan in its batch and in the log.
 */
const char *
PlanDigest(const char *plan)
{
	char *digest = palloc(QUERY_DIGEST_LEN + 1);

	QueryDigest(digest, plan, strlen(plan));
	return digest;
}

/*
 * Raise the error of a text that is no plan of this installation.
 */
ACTEON_NORETURN static void
report_no_plan(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("plan is not valid"),
			 errdetail("It was changed, or this installation has not made it."),
			 errhint("Pass the plan that acteon_replay_preview() has returned, unchanged.")));
}

/*
 * Find the contents of a plan, as a jsonb.  The seal is checked before anything else is
 * read.
 */
static Jsonb *
open_plan(Oid schema, const char *text)
{
	const char *contents;
	size_t len;
	char *json;

	if (strncmp(text, PLAN_PREFIX, strlen(PLAN_PREFIX)) != 0)
		report_no_plan();
	contents = text + strlen(PLAN_PREFIX);
	len = strcspn(contents, ".");
	if (strlen(contents) != len + 1 + TEXT_SEAL_LEN ||
		!TextIsSealed(schema, contents + len + 1, contents, len))
		report_no_plan();
	json = Base64UrlDecode(contents, len);
	if (json == NULL)
		report_no_plan();
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/*
 * A member of an object, which must be there.
 */
static JsonbValue *
get_member(const JsonbContainer *object, const char *name)
{
	JsonbValue *value = NULL;

	if (JsonContainerIsObject(object))
		value = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, object), name,
											 strlen(name), NULL);
	if (value == NULL)
		report_no_plan(); /* of another version of the extension */
	return value;
}

static int64
number_of(const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		report_no_plan();
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

static int64
get_number(const JsonbContainer *object, const char *name)
{
	return number_of(get_member(object, name));
}

static Jsonb *
get_object(const JsonbContainer *object, const char *name)
{
	JsonbValue *value = get_member(object, name);

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		report_no_plan();
	return JsonbValueToJsonb(value);
}

static PlanEnd
get_end(const JsonbContainer *object, const char *time_name, const char *id_name)
{
	JsonbValue *id = get_member(object, id_name);
	PlanEnd end = {.dispatched_at = {true, get_number(object, time_name)}};

	if (id->type != jbvString)
		report_no_plan();
	end.id = pnstrdup(id->val.string.val, id->val.string.len);
	return end;
}

/*
 * Read a plan.  Raises invalid_parameter_value for anything that this installation has
 * not made.
 */
static ReplayPlan *
read_plan(Oid schema, const char *text, bool wire_form)
{
	Jsonb *contents = open_plan(schema, text);
	const JsonbContainer *root = &contents->root;
	ReplayPlan *plan = palloc0(sizeof(ReplayPlan));
	Jsonb *reasons = get_object(root, "reasons");

	ReadReplayQuery(&plan->query, get_object(root, "query"), true);
	CheckReplayQuery(&plan->query);
	plan->query.wire_form = wire_form;
	plan->completed = (uint64) get_number(root, "completed");
	plan->counts.matched = get_number(root, "matched");
	plan->counts.replayable = get_number(root, "replayable");
	plan->counts.first = get_end(root, "first_at", "first");
	plan->counts.last = get_end(root, "last_at", "last");
	plan->counts.digest = (uint64) get_number(root, "digest");
	plan->counts.reasons[REASON_NONE] = plan->counts.replayable;
	for (Reason reason = REASON_NONE + 1; reason < NUM_REASONS; reason++)
	{
		const char *name = ReasonName(reason);
		JsonbValue *value = getKeyJsonValueFromContainer(&reasons->root, name, strlen(name), NULL);

		if (value != NULL)
			plan->counts.reasons[reason] = number_of(value);
	}
	plan->caller = (Oid) get_number(root, "caller");
	plan->database = (Oid) get_number(root, "database");
	plan->system = (uint64) get_number(root, "system");
	plan->expires_at = get_number(root, "expires");
	strlcpy(plan->digest, PlanDigest(text), sizeof(plan->digest));
	return plan;
}

/* ----------------------------------------------------------------
 * Using
 * ----------------------------------------------------------------
 */

/*
 * Raise the error of a plan that no longer holds.
 */
ACTEON_NORETURN static void
report_changed(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_PLAN_CHANGED),
					errmsg("plan no longer holds"), errdetail_internal("%s", detail),
					errhint("Nothing was replayed. acteon_replay_preview() makes a new plan.")));
}

/*
 * Whether a query says something of an option: has a value that is not its default.
 */
static bool
says(const ReplayQuery *query, OptionId id)
{
	ReplayQuery nothing;

	if (!OPTION_GIVEN(query, id))
		return false;
	InitReplayQuery(&nothing, query->any_number);
	return !SameOption(query, &nothing, id);
}

/*
 * Whether a query that was given beside a plan has the plan's value of an option.  What
 * the preview has added may be left out; an end in the future was cut.
 */
static bool
agrees(const ReplayQuery *given, const ReplayPlan *plan, OptionId id)
{
	const ReplayQuery *planned = &plan->query;
	bool is_completed = (plan->completed & OPTION_BIT(id)) != 0;

	if (is_completed && !says(given, id))
		return true;
	if (is_completed && id == OPTION_TO)
		return given->to.time >= planned->to.time;
	if (id == OPTION_CURSOR && given->cursor_text != NULL && planned->cursor_text != NULL)
		return given->cursor.dispatched_at == planned->cursor.dispatched_at &&
			   strcmp(given->cursor.id, planned->cursor.id) == 0;
	return SameOption(given, planned, id);
}

/*
 * Refuse a query that was given beside a plan, unless it is the plan's.  The reason is
 * none of its filters: another one may be given.  A plan alone has no query beside it.
 */
static void
check_beside(const ReplayQuery *given, const ReplayPlan *plan)
{
	bool is_alone = true;
	OptionId differs = NUM_OPTIONS;

	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & CALL_QUERY) == 0 || id == OPTION_PLAN || id == OPTION_REASON)
			continue;
		is_alone &= !says(given, id);
		if (differs == NUM_OPTIONS && !agrees(given, plan, id))
			differs = id;
	}
	if (!is_alone && differs != NUM_OPTIONS)
		report_changed(psprintf("The plan is for another query: %s is not the same. Leave the "
								"query out to replay what was planned.",
								OptionName(given, differs)));
}

/*
 * Refuse a plan that was made by another role, elsewhere, or too long ago.
 */
static void
check_circumstances(const ReplayPlan *plan)
{
	if (plan->database != MyDatabaseId || plan->system != GetSystemIdentifier())
		report_changed("It was made in another database.");
	if (plan->caller != GetUserId())
	{
		char *name = GetUserNameFromId(plan->caller, true);

		report_changed(name == NULL
						   ? pstrdup("It was made by a role that no longer exists.")
						   : psprintf("It was made by role \"%s\", and the caller is \"%s\".", name,
									  GetUserNameFromId(GetUserId(), false)));
	}
	if (plan->expires_at <= GetCurrentTimestamp())
		report_changed(
			psprintf("It has expired: a plan holds for %d hour after the preview.", PLAN_HOURS));
}

/*
 * If a query, which has been checked, has a plan, read it and let it say what is
 * replayed: the query becomes the plan's, except for the reason, if one is given.
 * Returns the plan; NULL if there is none.  Raises invalid_parameter_value for what is
 * no plan, and object_not_in_prerequisite_state for one that does not hold.
 */
ReplayPlan *
TakePlan(ReplayQuery *query, Oid schema)
{
	ReplayQuery given = *query;
	ReplayPlan *plan;

	if (query->plan == NULL)
		return NULL;
	plan = read_plan(schema, query->plan, query->wire_form);
	check_circumstances(plan);
	check_beside(&given, plan);
	if (!given.any_number && plan->query.is_limited && plan->query.max_records > MAX_RECORDS_LIMIT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("plan is for more than %d records", MAX_RECORDS_LIMIT),
						errhint("CALL acteon_replay_all() with it.")));
	*query = plan->query;
	query->any_number = given.any_number;
	if (given.reason != NULL)
		query->reason = given.reason;
	return plan;
}

/*
 * Let the limit of a plan's query count all that the plan's counts say takes a place, and not
 * only what is replayed: it ends at the same record, in whatever chunks it is reached.
 */
void
CountAllForLimit(ReplayQuery *query, const PlanCounts *counts)
{
	int64 places = 0;

	if (!query->fill_limit)
		return;
	query->fill_limit = false;
	for (Reason reason = REASON_NONE; reason < NUM_REASONS; reason++)
	{
		if (ReasonStatus(reason) != ITEM_PASSED_OVER)
			places += counts->reasons[reason];
	}
	SetInteger(query, OPTION_MAX_RECORDS, (int) Min(Max(places, 1), PG_INT32_MAX));
}

/*
 * Append what there is more or fewer of, as one element of a list.
 */
static void
append_change(StringInfo list, int64 count, const char *one, const char *many)
{
	if (count <= 0)
		return;
	appendStringInfo(list, "%s" INT64_FORMAT " %s", list->len == 0 ? ": " : ", ", count,
					 count == 1 ? one : many);
}

/*
 * How many more records than planned have one of these reasons.
 */
static int64
more_of(const PlanCounts *then, const PlanCounts *now, const Reason *reasons, int count)
{
	int64 more = 0;

	for (int i = 0; i < count; i++)
		more += now->reasons[reasons[i]] - then->reasons[reasons[i]];
	return more;
}

/*
 * Say what has changed.
 */
static char *
describe_change(const PlanCounts *then, const PlanCounts *now)
{
	static const Reason replayed[] = {REASON_WAITING, REASON_RUNNING, REASON_IN_DOUBT,
									  REASON_DELIVERED};
	static const Reason not_granted[] = {REASON_NO_GRANT};
	static const Reason expired[] = {REASON_EXPIRED};
	StringInfoData list;
	StringInfoData text;
	int64 other = 0;

	for (Reason reason = REASON_NONE + 1; reason < NUM_REASONS; reason++)
		other += Max(now->reasons[reason] - then->reasons[reason], 0);
	other -= Max(more_of(then, now, replayed, lengthof(replayed)), 0);
	other -= Max(more_of(then, now, not_granted, lengthof(not_granted)), 0);
	other -= Max(more_of(then, now, expired, lengthof(expired)), 0);
	initStringInfo(&list);
	append_change(&list, now->matched - then->matched, "record has come", "records have come");
	append_change(&list, then->matched - now->matched, "record has gone", "records have gone");
	append_change(&list, more_of(then, now, replayed, lengthof(replayed)),
				  "has been replayed since", "have been replayed since");
	append_change(&list, more_of(then, now, not_granted, lengthof(not_granted)),
				  "is no longer covered by a grant", "are no longer covered by a grant");
	append_change(&list, more_of(now, then, not_granted, lengthof(not_granted)),
				  "is now covered by a grant", "are now covered by a grant");
	append_change(&list, more_of(then, now, expired, lengthof(expired)), "has expired since",
				  "have expired since");
	append_change(&list, other, "cannot be replayed for another reason",
				  "cannot be replayed for other reasons");
	if (list.len == 0)
		appendStringInfoString(&list, ", but not the same ones");
	initStringInfo(&text);
	appendStringInfo(&text, INT64_FORMAT " %s to be replayed then, " INT64_FORMAT " now%s.",
					 then->replayable, then->replayable == 1 ? "record" : "records",
					 now->replayable, list.data);
	return text.data;
}

/*
 * Whether two ends are the same record.
 */
static bool
same_end(const PlanEnd *a, const PlanEnd *b)
{
	return a->dispatched_at.time == b->dispatched_at.time && strcmp(a->id, b->id) == 0;
}

/*
 * Whether two counts are of the same records, with the same fate.
 */
static bool
same_counts(const PlanCounts *a, const PlanCounts *b)
{
	return a->matched == b->matched && a->replayable == b->replayable && a->digest == b->digest &&
		   memcmp(a->reasons, b->reasons, sizeof(a->reasons)) == 0 &&
		   (a->matched == 0 || (same_end(&a->first, &b->first) && same_end(&a->last, &b->last)));
}

static void
see_window(void *arg, ReplayItem *items, int count)
{
	CountForPlan(arg, items, count);
}

/*
 * Count the records that a replay of a query would look at, and find their scope.  Needs
 * an SPI connection and an active snapshot.
 */
void
CountRecords(ReplayCall *call, const ReplayQuery *query, PlanCounts *counts)
{
	InitPlanCounts(counts);
	counts->scope = NewScope(query->provider_override);
	SurveyRecords(call, query, see_window, counts);
}

/*
 * Look at the records of a plan again, and refuse it with
 * object_not_in_prerequisite_state, saying what has changed, if anything has.  Sets *now
 * to what there is.  Needs an SPI connection and an active snapshot.
 */
void
CheckPlan(ReplayCall *call, const ReplayPlan *plan, PlanCounts *now)
{
	CountRecords(call, &plan->query, now);
	if (!same_counts(&plan->counts, now))
		report_changed(describe_change(&plan->counts, now));
}

/*
 * Refuse a plan, with object_not_in_prerequisite_state, some of whose records another
 * session has replayed since CheckPlan, given what was enqueued in this transaction.
 */
void
CheckPlanIsKept(const ReplayPlan *plan, const ReplayItem *items, int count)
{
	int64 left = plan->counts.replayable;

	for (int i = 0; i < count; i++)
		left -= items[i].status == ITEM_ENQUEUED ||
				(items[i].status == ITEM_FAILED && items[i].reason == REASON_LABELS);
	if (left > 0)
		report_changed(psprintf(INT64_FORMAT " of " INT64_FORMAT
											 " records are being replayed by another session.",
								left, plan->counts.replayable));
}

/*
 * Refuse a replay without a plan of more records than acteon_replay.plan_above, with
 * object_not_in_prerequisite_state.
 */
void
RequirePlan(const ReplayQuery *query, const char *function, int64 count)
{
	Jsonb *json;

	if (PlanAbove < 0 || count <= PlanAbove)
		return;
	json = QueryToJsonb(query);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_PLAN_NEEDED),
			 errmsg("a replay of " INT64_FORMAT " records needs a plan", count),
			 errdetail("acteon_replay.plan_above is %d.", PlanAbove),
			 errhint("Preview it: SELECT acteon_replay_preview(%s::jsonb). Then pass the \"plan\" "
					 "of that: %s(plan => '…').",
					 quote_literal_cstr(JsonbToCString(NULL, &json->root, VARSIZE(json))),
					 function)));
}

/*
 * Write down in the log that a batch was made by a plan, as the owner of the log.
 */
void
LogPlan(const ReplayCall *call, const ReplayPlan *plan, int64 batch_id, const char *reason)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, "plan", plan->digest);
	AddNumberDetail(&details, "matched", plan->counts.matched);
	AddNumberDetail(&details, "replayable", plan->counts.replayable);
	LogControl(call->schema, call->caller, "plan", batch_id, reason, EndDetails(&details));
}
