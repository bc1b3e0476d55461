/*
 * query.c
 *		What a bulk replay is asked for.
 *
 * A query comes as named arguments (arguments.c) or as jsonb in the gateway's
 * wire form (query_json.c); both become a ReplayQuery and are checked by
 * CheckReplayQuery.
 *
 * A cursor (cursor.c) carries no rights: the filters and the grants decide again.
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error_reason.h"
#include "base/json_text.h"
#include "base/message.h"
#include "base/replay_id.h"
#include "base/rfc3339.h"
#include "base/settings.h"
#include "base/target.h"
#include "query/patterns.h"
#include "query/query.h"

/* How long actions can be told to be of use at most: more is a mistake. */
#define MAX_EXPIRY_YEARS 100
#define MAX_EXPIRY_DAYS (INT64CONST(1) * MAX_EXPIRY_YEARS * MONTHS_PER_YEAR * DAYS_PER_MONTH)

/*
 * Check that a time can be stored with a query.
 */
void
CheckQueryTime(const char *name, const OptionalTime *time)
{
	if (time->given && !IsRfc3339Time(time->time))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be in the years 1 to 9999", name),
			 errdetail(
				 "Queries are stored with times in RFC 3339 format, which has no other years.")));
}

static void
check_finite(const ReplayQuery *query, OptionId id)
{
	const OptionalTime *time = OptionField(query, id);
	const char *name = OptionName(query, id);

	if (time->given && TIMESTAMP_NOT_FINITE(time->time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a finite time", name),
				 errhint("Leave it out where there is no bound.")));
	CheckQueryTime(name, time);
}

/*
 * The value of a rate in actions a second, 0 for none; raises the error of one
 * that cannot be kept.
 */
double
RateValue(Numeric rate)
{
	const ReplayOption *option = &ReplayOptions[OPTION_RATE];
	double value = 0;

	if (rate == NULL)
		return 0;
	if (!numeric_is_nan(rate) && !numeric_is_inf(rate))
		value =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(rate)));
	if (value < OptionNumber(option->least) || isinf(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rate must be a finite number of actions per second, at least %s",
							   option->least),
						errhint("%s", option->hint)));
	return value;
}

/*
 * Check that a text with few values has one of them.
 */
static void
check_choice(const ReplayQuery *query, OptionId id)
{
	const ReplayOption *option = &ReplayOptions[id];
	const char *value = *(char **) OptionField(query, id);
	StringInfoData known;

	if (value == NULL)
		return;
	initStringInfo(&known);
	for (int i = 0; option->choices[i] != NULL; i++)
	{
		if (strcmp(value, option->choices[i]) == 0)
			return;
		appendStringInfo(&known, "%s\"%s\"", i > 0 ? " or " : "", option->choices[i]);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s must be %s, not \"%s\"", OptionName(query, id), known.data,
						   ClipForMessage(value, strlen(value))),
					errhint("%s", option->hint)));
}

/*
 * Let a boolean say how the batch begins.
 */
static void
read_boolean_canary(char **canary)
{
	if (*canary != NULL && strcmp(*canary, "true") == 0)
		*canary = pstrdup(CANARY_HOLD);
	else if (*canary != NULL && strcmp(*canary, "false") == 0)
		*canary = pstrdup(CANARY_OFF);
}

/*
 * Check the texts, and say what those with few values mean.  A default is not
 * written down.
 */
static void
check_texts(ReplayQuery *query)
{
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];
		char **text;

		if (option->kind != KIND_TEXT || (option->calls & CALL_QUERY) == 0)
			continue;
		text = OptionField(query, id);
		if (id == OPTION_CANARY)
			read_boolean_canary(text);
		if (option->choices != NULL)
			check_choice(query, id);
		if (option->not_empty && *text != NULL && **text == '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must not be empty", OptionName(query, id)),
							errhint("%s", option->hint)));
		if (option->initial != NULL && *text != NULL && strcmp(*text, option->initial) == 0)
			*text = NULL;
	}
	query->drops_dedup = query->dedup != NULL && strcmp(query->dedup, DEDUP_DROP) == 0;
	query->requires_chain = query->verify != NULL && strcmp(query->verify, VERIFY_REQUIRED) == 0;
	query->holds_doubts = query->on_doubt != NULL && strcmp(query->on_doubt, ON_DOUBT_HOLD) == 0;
}

/*
 * Let the order say which records come first.  What is kept of it is newest_first.
 */
static void
check_order(ReplayQuery *query)
{
	bool newest_first = query->order != NULL && strcmp(query->order, ORDER_NEWEST) == 0;

	if (query->order == NULL)
		return;
	if (OPTION_GIVEN(query, OPTION_NEWEST_FIRST) && newest_first != query->newest_first)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("order \"%s\" contradicts newest_first", query->order),
						errhint("Leave one of the two out.")));
	query->newest_first = newest_first;
	query->order = NULL;
}

/*
 * Whether the filter on outcome names this one.
 */
bool
AsksForOutcome(const ReplayQuery *query, const char *outcome)
{
	for (int i = 0; i < query->outcome_count; i++)
	{
		if (strcmp(query->outcomes[i], outcome) == 0)
			return true;
	}
	return false;
}

/*
 * Add an outcome to those that are asked for, unless it is one of them.
 */
static void
add_outcome(ReplayQuery *query, char *outcome)
{
	if (AsksForOutcome(query, outcome))
		return;
	if (query->outcome_count == MAX_OUTCOMES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("outcome names more than %d outcomes", MAX_OUTCOMES)));
	query->outcomes[query->outcome_count++] = outcome;
}

/*
 * Take the filter on outcome apart: names with commas between them, and perhaps
 * blanks around those.  Afterwards it is written without blanks, and no name twice.
 */
static void
check_outcomes(ReplayQuery *query)
{
	char **filter = &query->filters[FILTER_OUTCOME];
	StringInfoData text;
	char *at;

	query->outcome_count = 0;
	if (*filter == NULL)
		return;
	query->outcomes = palloc(MAX_OUTCOMES * sizeof(char *));
	if (strchr(*filter, ',') == NULL)
	{
		add_outcome(query, *filter);
		return;
	}
	at = pstrdup(*filter);
	for (char *end = at; end != NULL; at = end + 1)
	{
		size_t len;

		end = strchr(at, ',');
		if (end != NULL)
			*end = '\0';
		at += strspn(at, " \t\n\r");
		len = strlen(at);
		while (len > 0 && strchr(" \t\n\r", at[len - 1]) != NULL)
			len--;
		at[len] = '\0';
		if (len == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("outcome has an empty element"),
					 errhint("Separate several outcomes with commas: failed,circuit_open.")));
		add_outcome(query, at);
		if (end == NULL)
			break;
	}
	initStringInfo(&text);
	for (int i = 0; i < query->outcome_count; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? "" : ",", query->outcomes[i]);
	*filter = text.data;
}

/*
 * Check what is said of what was lost.
 */
static void
check_lost(const ReplayQuery *query)
{
	if (query->certain && !query->lost)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("certain needs lost"),
			 errhint(
				 "It excludes actions that may have had an effect from those that lost => true selects.")));
	if (query->lost && query->outcome_count > 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("lost cannot be combined with outcome"),
			 errhint(
				 "lost => true selects actions that had no effect, whatever their outcome; leave outcome out.")));
}

/*
 * Read the rules of signatures.  One that is asked for may be an error as it is, of
 * which the signature is meant.
 */
static void
check_signature(ReplayQuery *query)
{
	char signature[SIGNATURE_BYTES];
	int len;

	query->rules = ReadSignatureRules(query->signature_rules);
	if (query->signature == NULL)
		return;
	len = MakeSignature(signature, query->signature, strlen(query->signature), query->rules);
	query->signature_made = pnstrdup(signature, len);
}

/*
 * Whether a jsonb is the JSON null.
 */
static bool
is_json_null(Jsonb *json)
{
	JsonbValue value;

	return JsonbExtractScalar(&json->root, &value) && value.type == jbvNull;
}

/*
 * Read the patch, unless that is done.
 */
static void
check_patch(ReplayQuery *query)
{
	const char *path = OptionName(query, OPTION_PATCH_PATH);
	const char *value = OptionName(query, OPTION_PATCH_VALUE);

	/* In the wire form, a null without a path is that of a client that writes all keys. */
	if (query->wire_form && query->patch_path == NULL && query->patch_value != NULL &&
		is_json_null(query->patch_value))
		query->patch_value = NULL;
	if ((query->patch_path == NULL) != (query->patch_value == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						query->patch_path == NULL ? errmsg("%s needs %s", value, path)
												  : errmsg("%s needs %s", path, value),
						errhint("%s selects places of the payloads, and %s is the value for them.",
								path, value)));
	if (query->patch != NULL && query->patch_path != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s cannot be combined with %s", OptionName(query, OPTION_PATCH), path),
				 errhint("A replay has one patch. Leave one of the two out.")));
	if (query->change != NULL)
		return;
	if (query->patch != NULL)
		query->change = ReadMergePatch(query->patch);
	else if (query->patch_path != NULL)
		query->change = ReadPlacePatch(path, query->patch_path, query->patch_value);
}

/*
 * How long actions are of use, in microseconds.  Days and months have the lengths that
 * they have where the server compares intervals, so that the time zone of a session does not
 * matter.
 */
static void
check_expiry(ReplayQuery *query)
{
	const Interval *after = query->expire_after;
	const int64 most = MAX_EXPIRY_DAYS * USECS_PER_DAY;
	int64 days;
	int64 value = 0;

	query->checked_at = GetCurrentTimestamp();
	query->expire_after_value = 0;
	if (after == NULL)
		return;
	days = (int64) after->month * DAYS_PER_MONTH + after->day;
	/* The bounds of the two keep their sum from overflowing. */
	if (!ActeonIsEndless(after) && days >= -MAX_EXPIRY_DAYS && days <= MAX_EXPIRY_DAYS &&
		after->time >= -most && after->time <= most)
		value = days * USECS_PER_DAY + after->time;
	if (value <= 0 || value > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a positive time of at most %d years",
							   OptionName(query, OPTION_EXPIRE_AFTER), MAX_EXPIRY_YEARS),
						errhint("%s", ReplayOptions[OPTION_EXPIRE_AFTER].hint)));
	query->expire_after_value = value;
}

/*
 * The target of a query; NULL for production.
 */
const char *
TargetOf(const ReplayQuery *query)
{
	return query->target == NULL || strcmp(query->target, PRODUCTION) == 0 ? NULL : query->target;
}

/*
 * Check the target.  What is replayed to another one than production leaves production, so
 * a superuser must have allowed it, in addition to the grants that cover the records.
 */
static void
check_target(const ReplayQuery *query)
{
	const char *target = query->target == NULL ? NULL : CheckTarget(query->target);

	if (target != NULL && !IsListedTarget(AllowedTargets, target))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_TARGET_NOT_ALLOWED),
			 errmsg("replays to target \"%s\" are not allowed", target),
			 errhint(
				 "A superuser can allow them: acteon_replay.targets lists the targets besides %s. "
				 "What the session has counts; ALTER ROLE ... SET acts when that role logs in, and "
				 "not on SET ROLE.",
				 PRODUCTION)));
}

/*
 * Check the share at which the circuit breaker opens.
 */
static void
check_breaker(ReplayQuery *query)
{
	const ReplayOption *option = &ReplayOptions[OPTION_BREAKER_SHARE];
	double share = 0;

	if (query->breaker_share == NULL)
		return;
	if (numeric_is_nan(query->breaker_share) || numeric_is_inf(query->breaker_share))
		share = -1;
	else
		share = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(query->breaker_share)));
	if (share < OptionNumber(option->least) || share >= OptionNumber(option->below))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("breaker_share must be at least %s and below %s", option->least,
							   option->below),
						errhint("%s", option->hint)));
	if (share == OptionNumber(option->initial))
		query->breaker_share = NULL;
}

/*
 * Check that every integer is within its bounds.  More records than one call may
 * attempt are cut with a NOTICE.
 */
static void
check_integers(ReplayQuery *query)
{
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];
		int value;

		if (option->kind != KIND_INTEGER || (option->calls & CALL_QUERY) == 0 ||
			(option->is_limit && !query->is_limited))
			continue;
		value = *(int *) OptionField(query, id);
		if (value < OptionNumber(option->least))
			ReportBounds(OptionName(query, id), id, true);
		if (value <= OptionNumber(option->most) || (option->is_limit && query->any_number))
			continue;
		if (!option->is_limit)
			ReportBounds(OptionName(query, id), id, false);
		ereport(NOTICE,
				(errmsg("%s is reduced to %s", OptionName(query, id), option->most),
				 errhint(
					 "To replay any number, CALL acteon_replay_all() with the same arguments.")));
		SetInteger(query, id, (int) OptionNumber(option->most));
	}
}

/*
 * Refuse a ramp that leads up to nothing.
 */
static void
check_ramp(const ReplayQuery *query)
{
	if (query->ramp && query->rate == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("ramp needs a rate"),
			 errhint(
				 "Specify a rate, too: the first tenth of the actions is sent at a tenth of it.")));
}

/*
 * Check that the last action is due at a time that there is.
 */
static void
check_last_due(const ReplayQuery *query)
{
	TimestampTz start = query->start_at.given ? query->start_at.time : GetCurrentTimestamp();
	int64 last;

	/* The due times of any number end where time does. */
	if (query->rate_value > 0 && query->is_limited &&
		(pg_add_s64_overflow(start,
							 (int64) (query->max_records / query->rate_value * USECS_PER_SEC),
							 &last) ||
		 !IS_VALID_TIMESTAMP(last)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("start_at is too late for this rate"),
						errdetail("The last action would be due after the end of time.")));
}

/*
 * Append an option of a query to what its digest is made of, if it is given and a
 * condition, or leaves records out.  The times are not among these.
 */
static void
append_condition(StringInfo text, const ReplayQuery *query, OptionId id)
{
	const ReplayOption *option = &ReplayOptions[id];
	const void *field = OptionField(query, id);

	if ((option->calls & CALL_QUERY) == 0)
		return;
	if (option->kind == KIND_TEXT && option->is_condition)
	{
		const char *value = *(char *const *) field;

		if (value != NULL)
			appendStringInfo(text, "%s=%zu:%s;", option->key, strlen(value), value);
	}
	else if (option->kind == KIND_TEXTS)
	{
		const TextList *list = field;

		if (list->given)
			appendStringInfo(text, "%s=%d:%s;", option->key, list->count, list->digest);
	}
	else if (option->kind == KIND_JSON && (option->is_condition || id == OPTION_EXCLUDE))
	{
		Jsonb *json = *(Jsonb *const *) field;

		if (json == NULL)
			return;
		appendStringInfo(text, "%s=%d:", option->key, (int) VARSIZE(json));
		appendBinaryStringInfo(text, VARDATA(json), VARSIZE(json) - VARHDRSZ);
	}
}

/*
 * Digest of what decides which records a query finds, and in which order.
 */
static void
query_digest(const ReplayQuery *query, char *hex)
{
	StringInfoData text;

	initStringInfo(&text);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
		append_condition(&text, query, id);
	if (query->from.given)
		appendStringInfo(&text, "from=" INT64_FORMAT ";", query->from.time);
	if (query->to.given)
		appendStringInfo(&text, "to=" INT64_FORMAT ";", query->to.time);
	if (query->newest_first)
		appendStringInfoString(&text, "newest_first;");
	if (query->lost)
		appendStringInfoString(&text, "lost;");
	if (query->signature_rules != NULL)
		appendStringInfo(&text, "signature_rules=%s;", query->signature_rules);
	QueryDigest(hex, text.data, text.len);
	pfree(text.data);
}

/*
 * Make the cursor that continues at a place.
 */
char *
MakeCursor(const ReplayQuery *query, const ReplayCursor *place)
{
	char digest[QUERY_DIGEST_LEN + 1];

	query_digest(query, digest);
	return CursorText(digest, place);
}

/*
 * Read the query's cursor, if it has one.
 */
static void
check_cursor(ReplayQuery *query)
{
	char digest[QUERY_DIGEST_LEN + 1];
	const char *given;

	if (query->cursor_text == NULL)
		return;
	given = CursorDigest(query->cursor_text);
	query_digest(query, digest);
	if (given != NULL && strncmp(given, digest, QUERY_DIGEST_LEN) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cursor belongs to another query"),
			 errhint(
				 "Use it with the filters, the times and the order of the call that returned it.")));
	if (given == NULL || !CursorPlace(given, &query->cursor))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cursor is malformed"),
				 errhint("Pass next_cursor of an earlier call unchanged, or NULL to start over.")));
}

/*
 * Check a time range.
 */
static void
check_times(const ReplayQuery *query)
{
	check_finite(query, OPTION_FROM);
	check_finite(query, OPTION_TO);
	if (query->from.given && query->to.given && query->from.time > query->to.time)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is after %s", OptionName(query, OPTION_FROM),
							   OptionName(query, OPTION_TO))));
}

/*
 * Check the patterns, and read what is in a form of its own, unless that is done.
 */
static void
check_patterns(ReplayQuery *query)
{
	if (query->error_like != NULL)
		CheckLikePattern(OptionName(query, OPTION_ERROR_LIKE), query->error_like);
	if (query->payload_path != NULL && query->path == (Datum) 0)
		query->path = ReadJsonPath(OptionName(query, OPTION_PAYLOAD_PATH), query->payload_path);
	/* As a key of a query in the wire form it would count as none. */
	if (query->payload != NULL && is_json_null(query->payload))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be the JSON null", OptionName(query, OPTION_PAYLOAD)),
						errhint("payload_path => '$ ? (@ == null)' finds it.")));
}

/*
 * Check what is to be left out, and read it unless that is done.
 */
static void
check_exclusion(ReplayQuery *query)
{
	if (query->exclude == NULL || query->excluded != NULL)
		return;
	query->excluded = palloc(sizeof(ReplayQuery));
	ReadExclusion(query->excluded, query->exclude);
	check_times(query->excluded);
	check_outcomes(query->excluded);
	check_texts(query->excluded);
	check_patterns(query->excluded);
	query->excluded->signature_rules = query->signature_rules;
	check_signature(query->excluded);
}

/*
 * Check a query and complete it.  Raises invalid_parameter_value, naming the
 * option.
 */
void
CheckReplayQuery(ReplayQuery *query)
{
	check_integers(query);
	check_times(query);
	check_finite(query, OPTION_START_AT);
	query->rate_value = RateValue(query->rate);
	check_ramp(query);
	check_last_due(query);
	check_outcomes(query);
	check_texts(query);
	check_patterns(query);
	check_signature(query);
	check_exclusion(query);
	check_patch(query);
	check_expiry(query);
	check_target(query);
	check_order(query);
	check_cursor(query);
	check_breaker(query);
	check_lost(query);
}

/*
 * Give a query, which has been checked, an end in time if it has none, or one in
 * the future: what is recorded from now on is not looked for.  Its cursor goes
 * on as if it had been so from the start.
 */
void
EndQueryAt(ReplayQuery *query, TimestampTz now)
{
	if (query->to.given && query->to.time <= now)
		return;
	query->is_cut = true;
	query->uncut_to = query->to;
	query->to.given = true;
	query->to.time = now;
	if (query->cursor_text != NULL)
		query->cursor_text = MakeCursor(query, &query->cursor);
}
