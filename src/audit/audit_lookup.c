/*
 * audit_lookup.c
 *		Look-ups in the audit table of actions that were sent.
 *
 * Consumers look up what happened to an action: by all ids under which it may
 * have been sent, as the audit table's owner, using the index on action ids,
 * with a current snapshot.  A problem with the audit table must not raise an
 * error in the consumer's transaction: it only means that the result is not
 * known.  So everything runs in subtransactions that catch errors.
 *
 * The absence of a record proves something only if the table shows that the
 * gateway has recorded a later action, and still has records from the time of
 * sending.  The first must be true at the time of the search or before it, the
 * second at that time or after it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/audit_table.h"
#include "audit/audit_lookup.h"
#include "base/identity.h"
#include "base/jsonb_build.h"
#include "base/kept_plan.h"
#include "base/operators.h"
#include "base/partial_index.h"
#include "base/settings.h"
#include "base/subtransaction.h"
#include "base/text.h"
#include "base/replay_id.h"

/* Columns that are read, in this order. */
enum
{
	FOUND_ACTION_ID,
	FOUND_NAMESPACE,
	FOUND_TENANT,
	FOUND_OUTCOME,
	FOUND_DISPATCHED_AT,
	FOUND_ID,
	NUM_NEEDED, /* a record without one of these does not count */
	FOUND_DETAILS = NUM_NEEDED,
	FOUND_PROVIDER,
	FOUND_ACTION_TYPE,
	FOUND_DURATION,
	NUM_FOUND
};

#define SELECT_FOUND \
	"SELECT a.action_id, a.namespace, a.tenant, a.outcome, a.dispatched_at, a.id," \
	" a.outcome_details, a.provider, a.action_type, %s FROM %s AS a WHERE "

/* Statements, whose plans are kept. */
typedef enum LookupStatement
{
	FIND_RECORDS,
	FIND_DEDUP_KEY,
	FIND_NEWEST,
	FIND_KEPT,
	NUM_LOOKUP_STATEMENTS
} LookupStatement;

/* How records of a time are found without reading many. */
typedef enum TimeAccess
{
	TIME_BY_OUTCOME, /* by an index on outcome and time */
	TIME_BY_INDEX,   /* by an index on the time */
	TIME_BY_SCAN,    /* the table is small */
	TIME_NOT_FOUND
} TimeAccess;

/* Maximum size, in blocks, of a table that is small enough to be read as a whole. */
#define SMALL_TABLE_BLOCKS 1024

/* How long to wait for the lock on the audit table. */
#define LOCK_PATIENCE "100ms"

/* Number of records with a deduplication key that are examined. */
#define DEDUP_RECORDS 10000

/* A reader of the audit table; see OpenLookup. */
struct Lookup
{
	MemoryContext context; /* that it lives in */
	Oid schema;
	bool is_open; /* opening the table has been tried */
	bool is_readable;
	bool is_damaged; /* the last error was about what is stored, not about the table */
	bool is_live;    /* see AuditTableIsLive */
	bool is_copy;    /* see AuditTableIsCopy */
	Oid owner;
	TimeAccess times;
	char *sql[NUM_LOOKUP_STATEMENTS]; /* NULL: there is no such statement */
	Datum frequent_outcomes;          /* arrays of them */
	Datum other_outcomes;
	Datum all_outcomes;
	bool knows_newest;
	TimestampTz newest; /* time of the newest record, when the table was first searched */
	bool knows_kept;
	TimestampTz kept_from; /* time of a record that was there after the last search */
};

/* What is to be done in a subtransaction. */
typedef void (*GuardedWork)(Lookup *lookup, void *argument);

/* A record, with what decides between several. */
typedef struct FoundRecord
{
	bool exists;
	RecordOutcome outcome;
	Effect effect;
	TimestampTz dispatched_at;
	const text *id;
} FoundRecord;

/* An id of an action that is looked for, and what was found of it. */
typedef struct IdSlot
{
	const pg_uuid_t *uuid;
	int key;           /* its action's place */
	int id;            /* its place among the ids of that */
	FoundRecord done;  /* the newest of each kind */
	FoundRecord other; /* neither done nor later */
	FoundRecord later;
	FoundRecord intent;
} IdSlot;

/* A call of LookUpActions, or a part of one. */
typedef struct Search
{
	const LookupKey *keys;
	int count;
	Finding *findings;
	MemoryContext result; /* that answers are made in */
	IdSlot *slots;        /* in the order of the ids */
	int slot_count;
} Search;

/* A question about a time. */
typedef struct TimeQuestion
{
	TimestampTz time;
	bool found;
} TimeQuestion;

static const char *const tells_texts[NUM_AUDIT_TELLS] = {
	[AUDIT_TELLS] = "the audit table has no record of it",
	[AUDIT_NOT_LIVE] = "the audit table is a copy, or acteon_replay.audit_is_live is off: "
					   "a missing record proves nothing",
	[AUDIT_SILENT] = "the audit table has no record of anything that was sent later",
	[AUDIT_PRUNED] = "the audit table no longer has records from the time when it was sent",
	[AUDIT_UNREADABLE] = "the audit table is missing or cannot be read",
};

/*
 * Outcomes by which records of a time are found, the most frequent ones first.
 * Where they show that the table is alive, the others need not be searched for.
 */
#define FREQUENT_OUTCOMES 4

static const char *const known_outcomes[] = {
	EXECUTED_OUTCOME,
	FAILED_OUTCOME,
	INTENT_OUTCOME,
	CIRCUIT_OPEN_OUTCOME,
	SUPPRESSED_OUTCOME,
	DEDUPLICATED_OUTCOME,
	REROUTED_OUTCOME,
	THROTTLED_OUTCOME,
	QUOTA_EXCEEDED_OUTCOME,
	SILENCED_OUTCOME,
	MUTED_OUTCOME,
	SCHEDULED_OUTCOME,
	GROUPED_OUTCOME,
	CHAIN_ORIGIN_OUTCOME,
	CHAIN_COMPLETED_OUTCOME,
	CHAIN_STEP_COMPLETED_OUTCOME,
	PENDING_APPROVAL_OUTCOME,
};

/*
 * Whether an error may be about a single record that cannot be read.
 */
static bool
is_about_record(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_INTERNAL_ERROR || category == ERRCODE_SYSTEM_ERROR ||
		   category == ERRCODE_DATA_EXCEPTION;
}

/* What is done in a subtransaction, and with what. */
typedef struct Guarded
{
	GuardedWork work;
	Lookup *lookup;
	void *argument;
} Guarded;

static bool
run(void *argument)
{
	Guarded *guarded = argument;

	guarded->work(guarded->lookup, guarded->argument);
	return true;
}

/*
 * Do something in a subtransaction.  Returns false if an error was raised; but
 * one that wants the whole transaction to end is raised again.
 */
static bool
run_guarded(Lookup *lookup, GuardedWork work, void *argument)
{
	Guarded guarded = {.work = work, .lookup = lookup, .argument = argument};
	ErrorData *error = TryInSubtransaction(run, &guarded, CurrentMemoryContext);

	if (error == NULL)
		return true;
	if (EndsTransaction(error))
		ReThrowError(error);
	lookup->is_damaged = is_about_record(error);
	FreeErrorData(error);
	return false;
}

/*
 * Make a reader of the audit table that the extension in this schema works
 * with, in a memory context of its own below the current one.  The table is opened when it is first
 * asked, and nothing is raised if it is not there or cannot be read.
 */
Lookup *
OpenLookup(Oid schema)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay audit", ALLOCSET_SMALL_SIZES);
	Lookup *lookup = MemoryContextAllocZero(context, sizeof(Lookup));

	lookup->context = context;
	lookup->schema = schema;
	return lookup;
}

/* What the indexes of the table are good for. */
typedef struct IndexUses
{
	bool by_time;    /* by dispatched_at */
	bool by_outcome; /* by outcome and dispatched_at */
	bool by_label;   /* by what is in metadata */
} IndexUses;

/*
 * Find out what the indexes of the table are good for.
 */
static IndexUses
index_uses(const AuditTable *table)
{
	AttrNumber time = AuditColumn(table, "dispatched_at");
	AttrNumber outcome = AuditColumn(table, "outcome");
	AttrNumber metadata = AuditColumn(table, "metadata");
	List *indexes = RelationGetIndexList(table->rel);
	IndexUses uses = {0};
	ListCell *lc;

	/* A foreign server is supposed to have the gateway's own indexes. */
	if (AuditTableIsRemote(table))
		uses.by_outcome = uses.by_label = true;
	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool is_btree = index->rd_rel->relam == BTREE_AM_OID;

		if (form->indisvalid && !IsPartialIndex(index))
		{
			uses.by_time |= is_btree && form->indkey.values[0] == time;
			uses.by_outcome |=
				is_btree && form->indnkeyatts > 1 && form->indkey.values[0] == outcome &&
				form->indkey.values[1] == time && HasCollationOf(index, 0, table->rel);
			uses.by_label |=
				index->rd_rel->relam == GIN_AM_OID && form->indkey.values[0] == metadata;
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
	return uses;
}

/*
 * Whether the newest record is found by indexes only outcome by outcome.
 */
bool
TimesAreByOutcome(const AuditTable *table)
{
	IndexUses uses = index_uses(table);

	return uses.by_outcome && !uses.by_time;
}

/*
 * Whether the newest records of an outcome are found by an index.
 */
bool
HasOutcomesByTime(const AuditTable *table)
{
	return index_uses(table).by_outcome;
}

/*
 * How records of a time can be found.
 */
static TimeAccess
time_access(const AuditTable *table, const IndexUses *uses)
{
	if (uses->by_time)
		return TIME_BY_INDEX;
	if (uses->by_outcome)
		return TIME_BY_OUTCOME;
	if (table->rel->rd_rel->relkind == RELKIND_RELATION &&
		RelationGetNumberOfBlocks(table->rel) <= SMALL_TABLE_BLOCKS)
		return TIME_BY_SCAN;
	return TIME_NOT_FOUND;
}

/*
 * Some of the outcomes that are known, as an array.
 */
static Datum
outcome_array(int first, int count)
{
	Datum outcomes[lengthof(known_outcomes)];

	for (int i = 0; i < count; i++)
		outcomes[i] = CStringGetTextDatum(known_outcomes[first + i]);
	return PointerGetDatum(construct_array(outcomes, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Build the statements about times: the newest record, of the outcomes $1 if there
 * is no other way, and the last one that is not newer than $2.
 */
static void
build_time_statements(Lookup *lookup, const AuditTable *table)
{
	switch (lookup->times)
	{
		case TIME_BY_OUTCOME:
			/* For each outcome one search of the index. */
			lookup->sql[FIND_NEWEST] =
				psprintf("SELECT pg_catalog.max(p.dispatched_at) FROM pg_catalog.unnest($1) AS o"
						 " CROSS JOIN LATERAL (SELECT a.dispatched_at FROM %s AS a"
						 " WHERE a.outcome" EQ "o AND " IS_REAL_TIME(
							 "a.dispatched_at") " ORDER BY a.dispatched_at DESC LIMIT 1) AS p",
						 table->quoted_name);
			lookup->sql[FIND_KEPT] = psprintf(
				"SELECT p.dispatched_at FROM pg_catalog.unnest($1) AS o"
				" CROSS JOIN LATERAL (SELECT a.dispatched_at FROM %s AS a"
				" WHERE a.outcome" EQ "o AND " IS_REAL_TIME(
					"a.dispatched_at") " AND a.dispatched_at" LE "$2"
									   " ORDER BY a.dispatched_at DESC LIMIT 1) AS p LIMIT 1",
				table->quoted_name);
			break;
		case TIME_BY_INDEX:
		case TIME_BY_SCAN:
			lookup->sql[FIND_NEWEST] =
				psprintf("SELECT pg_catalog.max(a.dispatched_at) FROM %s AS a"
						 " WHERE " IS_REAL_TIME("a.dispatched_at"),
						 table->quoted_name);
			lookup->sql[FIND_KEPT] =
				psprintf("SELECT a.dispatched_at FROM %s AS a WHERE " IS_REAL_TIME(
							 "a.dispatched_at") " AND a.dispatched_at" LE "$2"
												" ORDER BY a.dispatched_at DESC LIMIT 1",
						 table->quoted_name);
			break;
		case TIME_NOT_FOUND:
			break;
	}
}

/*
 * Build the statements for a table.  The search for a deduplication key has
 * nothing but that in its condition, so that the planner has one index to
 * choose; without that index there is no such search.
 */
static void
build_statements(Lookup *lookup, const AuditTable *table)
{
	IndexUses uses = index_uses(table);
	const char *duration = "NULL::pg_catalog.int8";
	AttrNumber column = AuditColumn(table, "duration_ms");

	if (column != InvalidAttrNumber &&
		TupleDescAttr(RelationGetDescr(table->rel), column - 1)->atttypid == INT8OID)
		duration = "a.duration_ms";
	lookup->sql[FIND_RECORDS] =
		psprintf(SELECT_FOUND "a.action_id" EQ "ANY ($1)", duration, table->quoted_name);
	if (uses.by_label)
		lookup->sql[FIND_DEDUP_KEY] = psprintf(SELECT_FOUND "a.metadata OPERATOR(pg_catalog.@>) $1",
											   duration, table->quoted_name);
	lookup->times = time_access(table, &uses);
	build_time_statements(lookup, table);
}

/*
 * Open the audit table, and find out what is needed about it.  If it is locked
 * (by VACUUM FULL, or a migration of the gateway) we do not wait: consumers can
 * do other work meanwhile.
 */
static void
open_table(Lookup *lookup, void *argument)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);
	int guc_level = NewGUCNestLevel();
	AuditTable table;

	SetLocally("lock_timeout", LOCK_PATIENCE);
	OpenAuditTable(&table, lookup->schema);
	AtEOXact_GUC(false, guc_level);
	CheckAuditColumn(&table, "outcome_details", JSONBOID);
	lookup->owner = table.owner;
	lookup->is_live = AuditTableIsLive(&table);
	/* One that counts as live without being said to be is none. */
	lookup->is_copy = lookup->is_live && AuditIsLiveIsSaid && AuditTableIsCopy(&table);
	build_statements(lookup, &table);
	lookup->frequent_outcomes = outcome_array(0, FREQUENT_OUTCOMES);
	lookup->other_outcomes =
		outcome_array(FREQUENT_OUTCOMES, lengthof(known_outcomes) - FREQUENT_OUTCOMES);
	lookup->all_outcomes = outcome_array(0, lengthof(known_outcomes));
	CloseAuditTable(&table);
	MemoryContextSwitchTo(old);
}

/*
 * Whether the audit table can be read, as far as it was tried; opens it, if it
 * was not.
 */
bool
AuditIsReadable(Lookup *lookup)
{
	if (!lookup->is_open)
		lookup->is_readable = run_guarded(lookup, open_table, NULL);
	lookup->is_open = true;
	return lookup->is_readable;
}

/*
 * The plan of a statement, kept for the session as long as the statement stays
 * the same.
 */
static SPIPlanPtr
kept_plan(LookupStatement which, const char *sql)
{
	static KeptPlan kept[NUM_LOOKUP_STATEMENTS];
	static const Oid types[NUM_LOOKUP_STATEMENTS][2] = {
		[FIND_RECORDS] = {TEXTARRAYOID},
		[FIND_DEDUP_KEY] = {JSONBOID},
		[FIND_NEWEST] = {TEXTARRAYOID},
		[FIND_KEPT] = {TEXTARRAYOID, TIMESTAMPTZOID},
	};
	return KeepPlan(&kept[which], sql, OidIsValid(types[which][1]) ? 2 : 1, types[which],
					CURSOR_OPT_GENERIC_PLAN);
}

/*
 * Tell the planner what it cannot know from statistics: that a statement is to
 * use an index.
 */
static void
guide_planner(LookupStatement which)
{
	SetLocally("jit", "off");
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_indexscan", "on");
	SetLocally("enable_bitmapscan", which == FIND_DEDUP_KEY ? "on" : "off");
	if (which == FIND_NEWEST || which == FIND_KEPT)
		SetLocally("enable_sort", "off");
}

/*
 * Run a statement, as the table's owner, with a snapshot, for at most the given
 * number of rows (0 for all).  Needs an SPI connection; leaves the rows in
 * SPI_tuptable.
 */
static void
run_statement(Lookup *lookup, LookupStatement which, Datum *parameters, Snapshot snapshot,
			  long rows)
{
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	int result;

	SwitchIdentity(&caller, lookup->owner);
	guide_planner(which);
	result = SPI_execute_snapshot(kept_plan(which, lookup->sql[which]), parameters, NULL, snapshot,
								  InvalidSnapshot, true, false, rows);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(result));
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
}

/*
 * Connect to SPI.  The memory context is SPI's own one afterwards.
 */
static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * The time in the one row that a statement about times has found.
 */
static bool
found_time(TimestampTz *time)
{
	bool isnull = true;

	if (SPI_processed > 0)
		*time = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return !isnull;
}

/*
 * The time of the newest record of some outcomes, as a snapshot shows it.
 */
static TimestampTz
newest_of(Lookup *lookup, Snapshot snapshot, Datum outcomes)
{
	TimestampTz newest;

	run_statement(lookup, FIND_NEWEST, &outcomes, snapshot, 1);
	return found_time(&newest) ? newest : DT_NOBEGIN;
}

/*
 * Find the time of the newest record, as a snapshot shows it, unless it was
 * found before: an older answer is the more cautious one.
 */
static void
find_newest(Lookup *lookup, Snapshot snapshot)
{
	if (lookup->knows_newest || lookup->sql[FIND_NEWEST] == NULL)
		return;
	lookup->newest = newest_of(lookup, snapshot, lookup->frequent_outcomes);
	if (lookup->times == TIME_BY_OUTCOME && lookup->newest < GetCurrentTimestamp() - USECS_PER_SEC)
	{
		TimestampTz other = newest_of(lookup, snapshot, lookup->other_outcomes);

		lookup->newest = Max(lookup->newest, other);
	}
	lookup->knows_newest = true;
}

/*
 * Compare two ids, for sorting.
 */
static int
compare_slots(const void *a, const void *b)
{
	const IdSlot *one = a;
	const IdSlot *other = b;
	int order = memcmp(one->uuid->data, other->uuid->data, UUID_LEN);

	if (order == 0)
		order = (one->key > other->key) - (one->key < other->key);
	return order;
}

/*
 * Make the sorted list of all ids that are looked for.
 */
static void
make_slots(Search *search)
{
	int n = 0;

	for (int i = 0; i < search->count; i++)
		search->slot_count += search->keys[i].id_count;
	search->slots = palloc_extended(Max(search->slot_count, 1) * sizeof(IdSlot),
									MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < search->count; i++)
	{
		for (int j = 0; j < search->keys[i].id_count; j++, n++)
		{
			search->slots[n].uuid = &search->keys[i].ids[j];
			search->slots[n].key = i;
			search->slots[n].id = j;
		}
	}
	qsort(search->slots, search->slot_count, sizeof(IdSlot), compare_slots);
}

/*
 * The ids that are looked for, as the array that the statement takes.
 */
static Datum
make_id_array(const Search *search)
{
	Datum *ids = palloc(Max(search->slot_count, 1) * sizeof(Datum));
	int count = 0;

	for (int i = 0; i < search->slot_count; i++)
	{
		char text[UUID_TEXT_LEN];

		if (i > 0 && memcmp(search->slots[i].uuid, search->slots[i - 1].uuid, UUID_LEN) == 0)
			continue;
		UuidToText(text, search->slots[i].uuid);
		ids[count++] = PointerGetDatum(cstring_to_text_with_len(text, UUID_TEXT_LEN));
	}
	return PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Find the first place of an id in the sorted list; the number of places, if it
 * is not there.
 */
static int
find_slot(const Search *search, const pg_uuid_t *uuid)
{
	int low = 0;
	int high = search->slot_count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (memcmp(search->slots[middle].uuid->data, uuid->data, UUID_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Whether an action that is looked for is of a namespace and a tenant: others may
 * use the same ids.
 */
static bool
is_of(const LookupKey *key, const text *namespace, const text *tenant)
{
	return SameText(key->namespace, namespace) && SameText(key->tenant, tenant);
}

/*
 * Whether one record counts before another one of its kind: the newer one, and
 * of two of the same time the one with the greater id.
 */
static bool
counts_before(const FoundRecord *record, const FoundRecord *other)
{
	Size length, other_length;
	int order;

	if (!other->exists)
		return true;
	if (record->dispatched_at != other->dispatched_at)
		return record->dispatched_at > other->dispatched_at;
	length = VARSIZE_ANY_EXHDR(record->id);
	other_length = VARSIZE_ANY_EXHDR(other->id);
	order = memcmp(VARDATA_ANY(record->id), VARDATA_ANY(other->id), Min(length, other_length));
	return order > 0 || (order == 0 && length > other_length);
}

/*
 * Read what a row says of the outcome.
 */
static void
read_outcome(FoundRecord *record, const Datum *values, const bool *nulls)
{
	RecordOutcome *outcome = &record->outcome;

	memset(record, 0, sizeof(*record));
	record->exists = true;
	record->dispatched_at = DatumGetTimestampTz(values[FOUND_DISPATCHED_AT]);
	record->id = DatumGetTextPP(values[FOUND_ID]);
	outcome->outcome = TextDatumGetCString(values[FOUND_OUTCOME]);
	if (!nulls[FOUND_DETAILS])
		outcome->details = DatumGetJsonbP(values[FOUND_DETAILS]);
	if (!nulls[FOUND_PROVIDER])
		outcome->provider = TextDatumGetCString(values[FOUND_PROVIDER]);
	if (!nulls[FOUND_ACTION_TYPE])
		outcome->action_type = TextDatumGetCString(values[FOUND_ACTION_TYPE]);
	outcome->has_duration = !nulls[FOUND_DURATION];
	outcome->duration_ms = nulls[FOUND_DURATION] ? 0 : DatumGetInt64(values[FOUND_DURATION]);
	record->effect = EffectOfRecord(outcome);
}

/*
 * Take a row apart, if nothing is missing that is needed.
 */
static bool
deform_row(uint64 row, Datum *values, bool *nulls)
{
	heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, values, nulls);
	for (int i = 0; i < NUM_NEEDED; i++)
	{
		if (nulls[i])
			return false;
	}
	return true;
}

/*
 * Add a record to what was found of an id.
 */
static void
add_record(IdSlot *slot, const FoundRecord *record)
{
	FoundRecord *place = &slot->other;

	if (strcmp(record->outcome.outcome, INTENT_OUTCOME) == 0)
		place = &slot->intent;
	else if (record->effect == EFFECT_DONE)
		place = &slot->done;
	else if (record->effect == EFFECT_LATER)
		place = &slot->later;
	if (counts_before(record, place))
		*place = *record;
}

/*
 * Add a row that was found to the actions that it is of.  The statement has
 * compared by the collation of the column; here every byte counts.
 */
static void
add_row(Search *search, uint64 row)
{
	Datum values[NUM_FOUND];
	bool nulls[NUM_FOUND];
	char text_form[UUID_TEXT_LEN];
	FoundRecord record = {0};
	const text *action_id, *namespace, *tenant;
	pg_uuid_t uuid;

	if (!deform_row(row, values, nulls))
		return;
	action_id = DatumGetTextPP(values[FOUND_ACTION_ID]);
	if (!TextToUuid(VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id), &uuid))
		return;
	UuidToText(text_form, &uuid);
	if (memcmp(text_form, VARDATA_ANY(action_id), UUID_TEXT_LEN) != 0)
		return;
	namespace = DatumGetTextPP(values[FOUND_NAMESPACE]);
	tenant = DatumGetTextPP(values[FOUND_TENANT]);
	for (int i = find_slot(search, &uuid);
		 i < search->slot_count && memcmp(search->slots[i].uuid, &uuid, UUID_LEN) == 0; i++)
	{
		const LookupKey *key = &search->keys[search->slots[i].key];

		if (!is_of(key, namespace, tenant))
			continue;
		if (!record.exists)
			read_outcome(&record, values, nulls);
		if (!IsRecordOfNoAction(record.outcome.provider, record.outcome.action_type))
			add_record(&search->slots[i], &record);
	}
}

/*
 * The record of one id that decides: one with effect done, else the newest that
 * is not later, else one that is.  An intent counts only if no outcome of the
 * same time or of a later one has followed.  NULL if there is none.
 */
static const FoundRecord *
decide_for_id(const IdSlot *slot)
{
	bool is_lone = slot->intent.exists;

	if (slot->done.exists)
		return &slot->done;
	if (slot->other.exists && slot->other.dispatched_at >= slot->intent.dispatched_at)
		is_lone = false;
	if (slot->later.exists && slot->later.dispatched_at >= slot->intent.dispatched_at)
		is_lone = false;
	if (is_lone)
		return &slot->intent;
	if (slot->other.exists)
		return &slot->other;
	return slot->later.exists ? &slot->later : NULL;
}

/*
 * Whether one id of an action decides, and not another one: one that has a record
 * with effect done, else the one that was made last.
 */
static bool
decides_before(const IdSlot *slot, const IdSlot *other)
{
	if (slot->done.exists != other->done.exists)
		return slot->done.exists;
	if (slot->done.exists)
		return counts_before(&slot->done, &other->done);
	return slot->id > other->id;
}

/*
 * Whether another record with the deduplication key of an action shows that the
 * gateway has executed, or will execute, the action that it considered to be
 * the same.
 */
static bool
was_done_before(Lookup *lookup, const LookupKey *key, Snapshot snapshot)
{
	JsonbParseState *state = NULL;
	Datum condition;
	bool found = false;

	if (lookup->sql[FIND_DEDUP_KEY] == NULL)
		return false;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, "__dedup_key", text_to_cstring(key->dedup_key));
	condition = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	run_statement(lookup, FIND_DEDUP_KEY, &condition, snapshot, DEDUP_RECORDS);
	for (uint64 row = 0; row < SPI_processed && !found; row++)
	{
		Datum values[NUM_FOUND];
		bool nulls[NUM_FOUND];
		FoundRecord record;

		if (!deform_row(row, values, nulls) || !is_of(key, DatumGetTextPP(values[FOUND_NAMESPACE]),
													  DatumGetTextPP(values[FOUND_TENANT])))
			continue;
		read_outcome(&record, values, nulls);
		found = record.effect == EFFECT_DONE || record.effect == EFFECT_LATER;
	}
	return found;
}

/*
 * What the gateway's word that it had seen an action before means: it was
 * decided, if something with its deduplication key, or with its id, if it has
 * no key, was executed or will be.
 */
static Effect
effect_of_duplicate(Lookup *lookup, Search *search, int key, const IdSlot *decisive,
					Snapshot snapshot)
{
	bool done_before;

	if (search->keys[key].dedup_key == NULL)
		done_before = decisive->later.exists;
	else
		done_before = was_done_before(lookup, &search->keys[key], snapshot);
	return done_before ? EFFECT_DECIDED : EFFECT_UNKNOWN;
}

/*
 * Note what was found of one id of an action.
 */
static void
note_id(Search *search, const IdSlot *slot, const FoundRecord *record)
{
	const LookupKey *key = &search->keys[slot->key];
	Finding *finding = &search->findings[slot->key];
	void *copy;

	finding->has_intent |= record == &slot->intent;
	finding->done_ids += slot->done.exists;
	if (finding->record_ids == NULL)
		finding->record_ids = MemoryContextAllocZero(search->result, key->id_count * sizeof(Datum));
	copy = MemoryContextAlloc(search->result, VARSIZE_ANY(record->id));
	memcpy(copy, record->id, VARSIZE_ANY(record->id));
	finding->record_ids[slot->id] = PointerGetDatum(copy);
}

/*
 * Note the effect of an id that does not decide, as far as it matters: where the
 * one that does had none, another one may have, or may have later.
 */
static void
note_other_effect(Finding *finding, Effect effect)
{
	if (effect == EFFECT_LATER || (effect == EFFECT_UNKNOWN && finding->effect != EFFECT_LATER))
		finding->effect = effect;
}

/*
 * Draw the conclusion about an action from the id that decides and from what was
 * noted of the others.
 */
static void
conclude_action(Lookup *lookup, Search *search, int key, const IdSlot *slot, Snapshot snapshot)
{
	Finding *finding = &search->findings[key];
	const FoundRecord *record = decide_for_id(slot);
	Effect effect = record->effect;
	MemoryContext old;

	if (IsDeduplicated(record->outcome.outcome))
		effect = effect_of_duplicate(lookup, search, key, slot, snapshot);
	if ((effect != EFFECT_NONE && effect != EFFECT_DECIDED) || finding->effect == EFFECT_NONE)
		finding->effect = effect;
	finding->has_outcome = record != &slot->intent;
	finding->id = slot->id;
	finding->dispatched_at = record->dispatched_at;
	old = MemoryContextSwitchTo(search->result);
	finding->answer = RecordAsAnswer(&record->outcome);
	MemoryContextSwitchTo(old);
}

/*
 * Draw the conclusions from the records that were found.
 */
static void
conclude(Lookup *lookup, Search *search, Snapshot snapshot)
{
	const IdSlot **decisive = palloc0(search->count * sizeof(IdSlot *));

	for (int i = 0; i < search->slot_count; i++)
	{
		const IdSlot *slot = &search->slots[i];
		const FoundRecord *record = decide_for_id(slot);

		if (record == NULL)
			continue;
		if (decisive[slot->key] == NULL)
			search->findings[slot->key].effect = EFFECT_NONE;
		note_id(search, slot, record);
		if (decisive[slot->key] == NULL || decides_before(slot, decisive[slot->key]))
			decisive[slot->key] = slot;
	}
	for (int i = 0; i < search->slot_count; i++)
	{
		const IdSlot *slot = &search->slots[i];
		const FoundRecord *record = decide_for_id(slot);

		if (record != NULL && slot != decisive[slot->key])
			note_other_effect(&search->findings[slot->key], record->effect);
	}
	for (int i = 0; i < search->count; i++)
	{
		if (decisive[i] != NULL)
			conclude_action(lookup, search, i, decisive[i], snapshot);
	}
	pfree(decisive);
}

/*
 * Whether an action has no record of an outcome among those that were found.
 */
static bool
misses_any(const Search *search)
{
	for (int i = 0; i < search->count; i++)
	{
		if (!search->findings[i].has_outcome)
			return true;
	}
	return false;
}

/*
 * Forget what was found.
 */
static void
reset_findings(Finding *findings, int count)
{
	memset(findings, 0, count * sizeof(Finding));
	for (int i = 0; i < count; i++)
		findings[i].effect = EFFECT_UNKNOWN;
}

/*
 * Search the audit table, in a subtransaction.
 */
static void
search_table(Lookup *lookup, void *argument)
{
	Search *search = argument;
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "acteon_replay lookup",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Snapshot snapshot;
	SPITupleTable *rows;
	Datum ids;

	reset_findings(search->findings, search->count);
	search->slot_count = 0;
	make_slots(search);
	connect_spi();
	MemoryContextSwitchTo(context);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ids = make_id_array(search);
	run_statement(lookup, FIND_RECORDS, &ids, snapshot, 0);
	rows = SPI_tuptable;
	for (uint64 row = 0; row < SPI_processed; row++)
		add_row(search, row);
	conclude(lookup, search, snapshot);
	SPI_freetuptable(rows);
	if (misses_any(search))
		find_newest(lookup, snapshot);
	UnregisterSnapshot(snapshot);
	SPI_finish();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Search for some actions.  If the search fails because of damaged data, the
 * actions are searched for in smaller parts, so that a damaged record does not
 * hide others.  A record that cannot be read at all counts as an intent:
 * something is there, but its content is unknown.  If the search fails for
 * another reason, the table cannot be read.
 */
static void
search_part(Lookup *lookup, const LookupKey *keys, int count, Finding *findings)
{
	Search search = {.keys = keys,
					 .count = count,
					 .findings = findings,
					 .result = CurrentMemoryContext};
	int half = count / 2;

	CHECK_FOR_INTERRUPTS();
	if (!lookup->is_readable)
		return;
	if (run_guarded(lookup, search_table, &search))
		return;
	reset_findings(findings, count);
	if (!lookup->is_damaged)
	{
		lookup->is_readable = false;
		return;
	}
	if (count == 1)
	{
		findings[0].damaged = true;
		findings[0].has_intent = true;
		return;
	}
	search_part(lookup, keys, half, findings);
	search_part(lookup, keys + half, count - half, findings + half);
}

/*
 * Look up what happened to actions.  The texts of the keys must not be toasted.
 * findings gets one element for each key; its answers are allocated in the
 * current memory context.  All are empty if the audit table cannot be read.
 */
void
LookUpActions(Lookup *lookup, const LookupKey *keys, int count, Finding *findings)
{
	reset_findings(findings, count);
	if (count == 0 || !AuditIsReadable(lookup))
		return;
	lookup->knows_kept = false;
	for (int i = 0; i < count; i += LOOKUP_KEYS)
		search_part(lookup, keys + i, Min(count - i, LOOKUP_KEYS), findings + i);
}

/*
 * Find out whether a record is left that is not newer than a time, or of what
 * time the newest is, in a subtransaction.
 */
static void
ask_time(Lookup *lookup, void *argument)
{
	TimeQuestion *question = argument;
	MemoryContext old = CurrentMemoryContext;
	Snapshot snapshot;

	connect_spi();
	MemoryContextSwitchTo(old);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (question == NULL)
		find_newest(lookup, snapshot);
	else
	{
		Datum parameters[] = {lookup->all_outcomes, TimestampTzGetDatum(question->time)};

		run_statement(lookup, FIND_KEPT, parameters, snapshot, 1);
		question->found = found_time(&lookup->kept_from);
		lookup->knows_kept |= question->found;
	}
	UnregisterSnapshot(snapshot);
	SPI_finish();
	MemoryContextSwitchTo(old);
}

/*
 * Whether a record is left from a time, or from before: then records from that
 * time had not been pruned when an action was last looked up.
 */
bool
AuditIsKept(Lookup *lookup, TimestampTz time)
{
	TimeQuestion question = {.time = time};

	if (lookup->knows_kept && lookup->kept_from <= time)
		return true;
	return AuditIsReadable(lookup) && lookup->sql[FIND_KEPT] != NULL &&
		   run_guarded(lookup, ask_time, &question) && question.found;
}

/*
 * Whether the absence of a record proves anything for an action that was sent
 * at one time and must be recorded before actions that were sent after another.
 * To be called after the action was looked up.
 *
 * In a copy, even one that counts as live, the gateway must have had the time to
 * record the action before the newest record that the copy knows: the clock tells
 * nothing of what is still on its way.
 */
AuditTells
WhatAuditTells(Lookup *lookup, TimestampTz sent_at, TimestampTz later_than)
{
	if (!AuditIsReadable(lookup))
		return AUDIT_UNREADABLE;
	if (!lookup->is_live)
		return AUDIT_NOT_LIVE;
	if (!lookup->knows_newest && !run_guarded(lookup, ask_time, NULL))
		return AUDIT_UNREADABLE;
	if (lookup->is_copy)
		later_than = TimestampTzPlusMilliseconds(later_than, (int64) GatewayPatience * 1000);
	if (!lookup->knows_newest || lookup->newest <= later_than)
		return AUDIT_SILENT;
	if (!AuditIsKept(lookup, sent_at))
		return AUDIT_PRUNED;
	return AUDIT_TELLS;
}

/*
 * In words, to be stored and shown.
 */
const char *
AuditTellsText(AuditTells tells)
{
	return tells_texts[tells];
}

/*
 * Done with looking up.
 */
void
CloseLookup(Lookup *lookup)
{
	MemoryContextDelete(lookup->context);
}
