/*
 * batch.c
 *		What is kept of a call: who asked, why, for what, and how it ended.
 *
 * A batch is one call of a replay function and all it enqueued.  Its scope is
 * the set of distinct (tenant, namespace, provider, action type) of the actions
 * that it attempted: whoever wants to read the row must be covered for all of
 * them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "batch.h"
#include "tables.h"

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
	StringInfoData bytes; /* of the element looked up last */
	ScopeEntry *entries;
	int count;
	int allocated;
	int *slots;     /* open addressing: entry number + 1, or 0 */
	int slot_count; /* a power of two, at least twice the entries */
};

/*
 * Make an empty scope in the current memory context.
 */
Scope *
NewScope(void)
{
	Scope *scope = palloc0(sizeof(Scope));

	scope->context = CurrentMemoryContext;
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
 * Add what a record is about to a scope, if it is not there already.
 */
void
AddToScope(Scope *scope, const AuditRecord *record)
{
	const text *parts[SCOPE_PARTS] = {record->tenant, record->namespace, record->provider,
									  record->action_type};
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
 * A scope as an array of [tenant, namespace, provider, action_type].
 */
static Jsonb *
scope_to_jsonb(const Scope *scope)
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
 * The name of a role as a datum.
 */
static Datum
role_name(Oid role)
{
	return DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false)));
}

/*
 * Write a batch down.
 */
void
InsertBatch(Oid schema, const BatchRow *batch)
{
	TableWriter writer;
	Datum values[Natts_batch];
	bool nulls[Natts_batch] = {false};

	values[Anum_batch_id - 1] = Int64GetDatum(batch->id);
	values[Anum_batch_created_at - 1] = TimestampTzGetDatum(batch->created_at);
	values[Anum_batch_requested_by - 1] = role_name(batch->requested_by);
	values[Anum_batch_requested_by_oid - 1] = ObjectIdGetDatum(batch->requested_by);
	values[Anum_batch_session_role - 1] = role_name(GetSessionUserId());
	nulls[Anum_batch_reason - 1] = batch->reason == NULL;
	values[Anum_batch_reason - 1] =
		batch->reason == NULL ? (Datum) 0 : CStringGetTextDatum(batch->reason);
	values[Anum_batch_query - 1] = JsonbPGetDatum(batch->query);
	values[Anum_batch_replayed - 1] = Int32GetDatum(batch->replayed);
	values[Anum_batch_failed - 1] = Int32GetDatum(batch->failed);
	values[Anum_batch_skipped - 1] = Int32GetDatum(batch->skipped);
	values[Anum_batch_scope - 1] = JsonbPGetDatum(scope_to_jsonb(batch->scope));

	OpenWriter(&writer, OwnTable(schema, BATCH_TABLE), false);
	InsertRow(&writer, values, nulls, Natts_batch);
	CloseWriter(&writer);
}
