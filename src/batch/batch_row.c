/*
 * batch_row.c
 *		What is kept of a call: who asked, why, for what, and how it ended.
 *
 * A batch is one call of a replay function and all it enqueued.  Its scope is
 * the set of distinct (tenant, namespace, provider, action type) of the actions
 * that it attempted: whoever wants to read the row must be covered for all of
 * them.  batch_progress.c reads batches back and has them go on.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/numbers.h"
#include "base/settings.h"
#include "base/table_access.h"
#include "batch/batch_row.h"

/* Parts of a scope's element. */
#define SCOPE_PARTS 4

/* An element of a scope: the four texts, one after the other. */
typedef struct ScopeEntry
{
	char *bytes;
	uint32 lens[SCOPE_PARTS];
	uint32 hash;
} ScopeEntry;

struct Scope
{
	MemoryContext context;
	const text *provider_override; /* NULL: none */
	StringInfoData bytes;          /* of the element looked up last */
	ScopeEntry *entries;
	int count;
	int allocated;
	int *slots;     /* open addressing: entry number + 1, or 0 */
	int slot_count; /* a power of two, at least twice the entries */
};

/*
 * Make an empty scope in the current memory context.  If the actions go to
 * another provider than their records tell, they are about that, too.
 */
Scope *
NewScope(const char *provider_override)
{
	Scope *scope = palloc0(sizeof(Scope));

	scope->context = CurrentMemoryContext;
	if (provider_override != NULL)
		scope->provider_override = cstring_to_text(provider_override);
	initStringInfo(&scope->bytes);
	scope->allocated = 8;
	scope->entries = palloc(scope->allocated * sizeof(ScopeEntry));
	scope->slot_count = 2 * scope->allocated;
	scope->slots = palloc0(scope->slot_count * sizeof(int));
	return scope;
}

/*
 * The slot of an element: where it stands, or would have to stand.
 */
static int *
find_slot(Scope *scope, const ScopeEntry *wanted, uint32 bytes_len)
{
	for (uint32 at = wanted->hash;; at++)
	{
		int *slot = &scope->slots[at & (scope->slot_count - 1)];
		const ScopeEntry *entry;

		if (*slot == 0)
			return slot;
		entry = &scope->entries[*slot - 1];
		if (entry->hash == wanted->hash &&
			memcmp(entry->lens, wanted->lens, sizeof(entry->lens)) == 0 &&
			memcmp(entry->bytes, wanted->bytes, bytes_len) == 0)
			return slot;
	}
}

/*
 * Make room for one more element.
 */
static void
grow_scope(Scope *scope)
{
	if (scope->count < scope->allocated)
		return;
	scope->allocated *= 2;
	scope->entries = repalloc(scope->entries, scope->allocated * sizeof(ScopeEntry));
	scope->slot_count = 2 * scope->allocated;
	pfree(scope->slots);
	scope->slots = MemoryContextAllocZero(scope->context, scope->slot_count * sizeof(int));
	for (int i = 0; i < scope->count; i++)
	{
		uint32 at = scope->entries[i].hash;

		while (scope->slots[at & (scope->slot_count - 1)] != 0)
			at++;
		scope->slots[at & (scope->slot_count - 1)] = i + 1;
	}
}

/*
 * Add an element to a scope, if it is not there already.
 */
static void
add_element(Scope *scope, const text *const *parts)
{
	ScopeEntry wanted;
	int *slot;

	resetStringInfo(&scope->bytes);
	for (int i = 0; i < SCOPE_PARTS; i++)
	{
		wanted.lens[i] = VARSIZE_ANY_EXHDR(parts[i]);
		appendBinaryStringInfo(&scope->bytes, VARDATA_ANY(parts[i]), wanted.lens[i]);
	}
	wanted.bytes = scope->bytes.data;
	wanted.hash = hash_bytes((unsigned char *) scope->bytes.data, scope->bytes.len);

	grow_scope(scope);
	slot = find_slot(scope, &wanted, scope->bytes.len);
	if (*slot != 0)
		return;
	wanted.bytes = MemoryContextAlloc(scope->context, Max(scope->bytes.len, 1));
	memcpy(wanted.bytes, scope->bytes.data, scope->bytes.len);
	scope->entries[scope->count++] = wanted;
	*slot = scope->count;
}

/*
 * Add what a record is about to a scope, and what it becomes.
 */
void
AddToScope(Scope *scope, const AuditRecord *record)
{
	const text *parts[SCOPE_PARTS] = {record->tenant, record->namespace, record->provider,
									  record->action_type};

	add_element(scope, parts);
	if (scope->provider_override == NULL)
		return;
	parts[2] = scope->provider_override;
	add_element(scope, parts);
}

/*
 * How many elements a scope has.
 */
int
ScopeSize(const Scope *scope)
{
	return scope->count;
}

/*
 * The scope that ScopeToJsonb has written, to be gone on with as NewScope's, in
 * the current memory context.
 */
Scope *
ScopeFromJsonb(Jsonb *json, const char *provider_override)
{
	Scope *scope = NewScope(provider_override);

	for (uint32 i = 0; i < JB_ROOT_COUNT(json); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&json->root, i);
		const text *parts[SCOPE_PARTS];

		for (uint32 k = 0; k < SCOPE_PARTS; k++)
		{
			JsonbValue *part = getIthJsonbValueFromContainer(element->val.binary.data, k);

			parts[k] = cstring_to_text_with_len(part->val.string.val, part->val.string.len);
		}
		add_element(scope, parts);
	}
	return scope;
}

/*
 * A scope as an array of [tenant, namespace, provider, action_type].
 */
Jsonb *
ScopeToJsonb(const Scope *scope)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < scope->count; i++)
	{
		char *at = scope->entries[i].bytes;

		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int k = 0; k < SCOPE_PARTS; k++)
		{
			JsonbValue value;

			value.type = jbvString;
			value.val.string.val = at;
			value.val.string.len = scope->entries[i].lens[k];
			at += scope->entries[i].lens[k];
			pushJsonbValue(&state, WJB_ELEM, &value);
		}
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/*
 * Count a failed record by its reason, in the current memory context.  There
 * are only a few reasons.
 */
void
AddFailure(Failures *failures, const char *reason, int64 count)
{
	for (int i = 0; i < failures->count; i++)
	{
		if (strcmp(failures->reasons[i], reason) == 0)
		{
			failures->counts[i] += count;
			return;
		}
	}
	if (failures->count == MAX_FAILURE_REASONS - 1)
		reason = "other reasons";
	if (failures->count < MAX_FAILURE_REASONS)
	{
		failures->reasons[failures->count] = pstrdup(reason);
		failures->counts[failures->count++] = count;
	}
}

/*
 * Failures as an object: reason → count.
 */
Jsonb *
FailuresToJsonb(const Failures *failures)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < failures->count; i++)
	{
		JsonbValue value;

		value.type = jbvString;
		value.val.string.val = unconstify(char *, failures->reasons[i]);
		value.val.string.len = strlen(failures->reasons[i]);
		pushJsonbValue(&state, WJB_KEY, &value);
		value.type = jbvNumeric;
		value.val.numeric = int64_to_numeric(failures->counts[i]);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * The failures that FailuresToJsonb has written, in the current memory context.
 */
Failures *
FailuresFromJsonb(Jsonb *json)
{
	Failures *failures = palloc0(sizeof(Failures));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *reason = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			reason = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			AddFailure(failures, reason,
					   DatumGetInt64(
						   DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric))));
	}
	return failures;
}

/*
 * Draw the number of a new batch.
 */
int64
NextBatchId(Oid schema)
{
	return NextNumber(schema, BATCH_SEQUENCE, BATCH_TABLE);
}

/*
 * The name of a role as a datum.
 */
Datum
RoleName(Oid role)
{
	return DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false)));
}

/*
 * Whether a role is the one that a batch names as having asked for it, by name and
 * oid: after a restore into another cluster the number may be somebody else's.
 */
bool
IsRequester(Oid role, Datum name, Datum oid)
{
	char *own_name = GetUserNameFromId(role, true);

	return DatumGetObjectId(oid) == role && own_name != NULL &&
		   strcmp(NameStr(*DatumGetName(name)), own_name) == 0;
}

/*
 * Whether there is no reason, or nothing but white space.
 */
bool
IsBlankReason(const char *reason)
{
	return reason == NULL || strspn(reason, " \t\n\r") == strlen(reason);
}

/*
 * A reason for the functions that take one; raises the error if it is missing
 * and acteon_replay.require_reason is on.
 */
void
CheckReason(const char *reason)
{
	if (RequireReason && IsBlankReason(reason))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a reason must be given"),
						errdetail("acteon_replay.require_reason is on."),
						errhint("Pass reason => 'why', a ticket number, say.")));
}

/*
 * Read a reason, NULL if none is given; raises the error if one is required.
 */
const char *
ReasonArgument(FunctionCallInfo fcinfo, int argument)
{
	const char *reason =
		PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	CheckReason(reason);
	return reason;
}

/* The row of a batch, being filled. */
typedef struct Row
{
	Datum values[Natts_batch];
	bool nulls[Natts_batch];
} Row;

/*
 * Set a column that may be NULL.
 */
static void
set(Row *row, AttrNumber column, bool given, Datum value)
{
	row->values[column - 1] = given ? value : (Datum) 0;
	row->nulls[column - 1] = !given;
}

/*
 * Set what tells how fast a batch goes and what stops it.
 */
static void
set_pace(Row *row, const BatchRow *batch)
{
	bool breaks = batch->breaker_window > 0;
	Datum share = (Datum) 0;

	if (breaks && batch->breaker_share == NULL)
		share = DirectFunctionCall1(float8_numeric, Float8GetDatum(BREAKER_SHARE_DEFAULT));
	else if (breaks)
		share = NumericGetDatum(batch->breaker_share);
	set(row, Anum_batch_start_at, batch->start_at.given, TimestampTzGetDatum(batch->start_at.time));
	set(row, Anum_batch_rate, batch->rate != NULL, NumericGetDatum(batch->rate));
	set(row, Anum_batch_paced_until, batch->paced_until.given,
		TimestampTzGetDatum(batch->paced_until.time));
	set(row, Anum_batch_breaker_window, breaks, Int32GetDatum(batch->breaker_window));
	set(row, Anum_batch_breaker_share, breaks, share);
}

/*
 * Write a batch down.
 */
void
InsertBatch(Oid schema, const BatchRow *batch)
{
	TableWriter writer;
	Row row;

	memset(row.values, 0, sizeof(row.values));
	memset(row.nulls, true, sizeof(row.nulls));
	set(&row, Anum_batch_id, true, Int64GetDatum(batch->id));
	set(&row, Anum_batch_created_at, true, TimestampTzGetDatum(batch->created_at));
	set(&row, Anum_batch_requested_by, true, RoleName(batch->requested_by));
	set(&row, Anum_batch_requested_by_oid, true, ObjectIdGetDatum(batch->requested_by));
	set(&row, Anum_batch_session_role, true, RoleName(GetSessionUserId()));
	if (batch->reason != NULL)
		set(&row, Anum_batch_reason, true, CStringGetTextDatum(batch->reason));
	set(&row, Anum_batch_query, true, JsonbPGetDatum(batch->query));
	set(&row, Anum_batch_replayed, true, Int64GetDatum(batch->replayed));
	set(&row, Anum_batch_failed, true, Int64GetDatum(batch->failed));
	set(&row, Anum_batch_skipped, true, Int64GetDatum(batch->skipped));
	set(&row, Anum_batch_scope, true, JsonbPGetDatum(ScopeToJsonb(batch->scope)));
	set(&row, Anum_batch_passed_over, true, Int64GetDatum(batch->passed_over));
	set(&row, Anum_batch_failures, true, JsonbPGetDatum(FailuresToJsonb(batch->failures)));
	set(&row, Anum_batch_matched, batch->matched >= 0, Int64GetDatum(batch->matched));
	set(&row, Anum_batch_chunk, batch->chunk > 0, Int32GetDatum(batch->chunk));
	set(&row, Anum_batch_is_complete, true, BoolGetDatum(batch->is_complete));
	set(&row, Anum_batch_first_outbox_id, batch->first_outbox_id != 0,
		Int64GetDatum(batch->first_outbox_id));
	set(&row, Anum_batch_last_outbox_id, batch->first_outbox_id != 0,
		Int64GetDatum(batch->last_outbox_id));
	set_pace(&row, batch);
	set(&row, Anum_batch_on_doubt, true,
		CStringGetTextDatum(batch->holds_doubts ? ON_DOUBT_HOLD : ON_DOUBT_RESEND));

	OpenWriter(&writer, OwnTable(schema, BATCH_TABLE), false);
	InsertRow(&writer, row.values, row.nulls, Natts_batch);
	CloseWriter(&writer);
}
