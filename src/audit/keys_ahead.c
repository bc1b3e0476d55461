/*
 * keys_ahead.c
 *		Keys of records that are read ahead of their pages.
 *
 * A call that replays any number of records reads them page by page, each from where
 * the one before has ended.  Where no index has the records in the order of the
 * pages, each page would search and sort all that is left: the whole of a table
 * without an index, of a partition without the index that others have, of what a
 * foreign server has, or of a great many records of one time.  So the keys of the
 * next pages, times and ids, are read at once and in order, and the pages are then
 * read by these.
 *
 * Keys are names and nothing more: the page is selected by all conditions of the
 * query again.  A record that comes to lie between two keys after they were read is
 * not found, as one behind the cursor is not.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/keys_ahead.h"
#include "audit/time_steps.h"
#include "base/identity.h"

/* Keys that are kept at once, and bytes of their ids after which there are enough. */
#define KEYS_AHEAD 100000
#define BYTES_AHEAD (16 * 1024 * 1024)

/* How long they are used, in milliseconds. */
#define KEYS_LIFE 60000

/* A page with so many records of one time suggests that there are more of it. */
#define TIED_PAGE 100

/* A key: where the records are in order, one is after another. */
typedef struct Key
{
	TimestampTz time;
	const char *id;
	int length;
} Key;

/* What was read ahead: all keys behind a place, or the first of them. */
struct KeysAhead
{
	MemoryContext context; /* of the keys */
	Oid relid;             /* 0: there are none */
	bool newest_first;
	Key after; /* the place */
	Key *keys;
	int count;
	int next;      /* the first that has not been taken */
	bool complete; /* there are no more behind the last */
	TimestampTz read_at;

	int page_count; /* of the last page that was read: its records, their first and last time */
	TimestampTz page_first;
	TimestampTz page_last;
};

/*
 * Make a place for keys, without any, in a memory context.
 */
KeysAhead *
MakeKeysAhead(MemoryContext parent)
{
	KeysAhead *ahead = MemoryContextAllocZero(parent, sizeof(KeysAhead));

	ahead->context = AllocSetContextCreate(parent, "acteon_replay keys", ALLOCSET_DEFAULT_SIZES);
	return ahead;
}

/*
 * Compare two keys in the order of the records: negative if one is before the other.
 */
static int
compare_keys(const Key *one, const Key *other, bool newest_first)
{
	int order = (one->time > other->time) - (one->time < other->time);

	if (order == 0)
		order = memcmp(one->id, other->id, Min(one->length, other->length));
	if (order == 0)
		order = (one->length > other->length) - (one->length < other->length);
	return newest_first ? -order : order;
}

/*
 * The key at which a query continues.
 */
static Key
cursor_key(const ReplayQuery *query)
{
	return (Key){query->cursor.dispatched_at, query->cursor.id, strlen(query->cursor.id)};
}

/*
 * A copy of a key in the current memory context.
 */
static Key
copy_key(const Key *key)
{
	return (Key){key->time, pnstrdup(key->id, key->length), key->length};
}

/*
 * Add the rows that were fetched to the keys, which have room for them.  Returns the
 * bytes of their ids.
 */
static int64
add_keys(KeysAhead *ahead)
{
	MemoryContext old = MemoryContextSwitchTo(ahead->context);
	int64 bytes = 0;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple tuple = SPI_tuptable->vals[row];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		TimestampTz time = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));
		char *id = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));

		ahead->keys[ahead->count++] = (Key){time, id, strlen(id)};
		bytes += strlen(id);
	}
	MemoryContextSwitchTo(old);
	return bytes;
}

/*
 * Read the keys of a step of the search, as the table's owner.  Returns whether those
 * are all of the step; *bytes counts those of the ids.
 */
static bool
read_step(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query,
		  const CandidateUse *use, int64 *bytes)
{
	MemoryContext old = CurrentMemoryContext;
	Statement st;
	Identity caller;
	Portal portal;
	bool is_all;

	BeginStatement(&st);
	appendStringInfoString(&st.sql, "SELECT a.dispatched_at, a.id");
	AddCandidates(&st, table, query, use);
	AddOrder(&st, table, query);
	appendStringInfo(&st.sql, " LIMIT %d", KEYS_AHEAD - ahead->count);
	SwitchIdentity(&caller, table->owner);
	GuidePlanner(table, query);
	portal = SPI_cursor_open_with_args(NULL, st.sql.data, st.nargs, st.types, st.values, NULL, true,
									   CURSOR_OPT_NO_SCROLL);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, Min(MAX_RECORDS_LIMIT, KEYS_AHEAD - ahead->count));
		is_all = SPI_processed == 0;
		*bytes += add_keys(ahead);
		SPI_freetuptable(SPI_tuptable);
	} while (!is_all && ahead->count < KEYS_AHEAD && *bytes < BYTES_AHEAD);
	SPI_cursor_close(portal);
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	return is_all;
}

/*
 * Read the keys behind a place; of a table that is partitioned by time, no more
 * partitions than it takes.  Needs an SPI connection.
 */
static void
read_keys(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query, const Key *after)
{
	CandidateUse use = {.in_order = true, .alone = true};
	ReplayQuery from_there = *query;
	MemoryContext old = CurrentMemoryContext;
	Key place = copy_key(after); /* it may be one of those that are forgotten now */
	int64 bytes = 0;
	TimeSteps steps;

	MemoryContextReset(ahead->context);
	ahead->relid = InvalidOid;
	ahead->count = ahead->next = 0;
	ahead->keys = MemoryContextAlloc(ahead->context, KEYS_AHEAD * sizeof(Key));
	from_there.cursor = (ReplayCursor){place.time, unconstify(char *, place.id)};
	BeginQuerySteps(&steps, table, &from_there);
	ahead->complete = true;
	while (ahead->complete && NextQueryStep(&steps, query, &use.first, &use.last))
		ahead->complete = read_step(ahead, table, &from_there, &use, &bytes);
	MemoryContextSwitchTo(ahead->context);
	ahead->after = copy_key(&place);
	MemoryContextSwitchTo(old);
	ahead->newest_first = query->newest_first;
	ahead->read_at = GetCurrentTimestamp();
	ahead->relid = RelationGetRelid(table->rel);
}

/*
 * Find a place among the keys.  Returns false if they do not show what is behind it:
 * it is before the first or behind the last of them, they are of another table, or they
 * are old.
 */
static bool
find_place(KeysAhead *ahead, const AuditTable *table, const Key *place)
{
	int low = 0;
	int high = ahead->count;

	if (ahead->relid != RelationGetRelid(table->rel) ||
		TimestampDifferenceExceeds(ahead->read_at, GetCurrentTimestamp(), KEYS_LIFE) ||
		compare_keys(place, &ahead->after, ahead->newest_first) < 0)
		return false;
	if (ahead->count == 0)
		return true;
	if (!ahead->complete &&
		compare_keys(place, &ahead->keys[ahead->count - 1], ahead->newest_first) >= 0)
		return false;
	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare_keys(&ahead->keys[middle], place, ahead->newest_first) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	ahead->next = low;
	return true;
}

/*
 * Whether the page before this one had a great many records of one time.
 */
static bool
page_was_tied(const KeysAhead *ahead)
{
	return ahead->page_count >= TIED_PAGE && ahead->page_first == ahead->page_last;
}

/*
 * Begin a page.  Returns whether it is to be read by keys; those are read then, unless
 * they were before.  The first page of a call is not: it may be the only one.  Keys of
 * one call must be used with the same filters.  Records that share time and id have no
 * keys of their own.
 */
bool
UseKeysAhead(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query)
{
	IndexOrder order;
	Key place;
	bool tied;

	if (ahead == NULL)
		return false;
	tied = page_was_tied(ahead);
	ahead->page_count = 0;
	if (query->cursor_text == NULL || !HasUniquePlaces(table))
		return false;
	place = cursor_key(query);
	if (find_place(ahead, table, &place))
		return true;
	order = OrderOfIndexes(table, query);
	if (order == ORDER_BY_TIME_AND_ID || (order == ORDER_BY_TIME && !tied))
		return false;
	read_keys(ahead, table, query, &place);
	return true;
}

/*
 * Take the next keys, at most as many as wanted, as the names of records in the
 * current memory context.  Returns false if there are no more.  Needs an SPI
 * connection.
 */
bool
TakeKeysAhead(KeysAhead *ahead, const AuditTable *table, const ReplayQuery *query, int64 want,
			  NamedRecords *named)
{
	const Key *first;
	Datum *ids;
	int count;

	if (ahead->next == ahead->count && !ahead->complete && ahead->count > 0)
		read_keys(ahead, table, query, &ahead->keys[ahead->count - 1]);
	count = (int) Min(want, ahead->count - ahead->next);
	if (count == 0)
		return false;
	first = &ahead->keys[ahead->next];
	ids = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
		ids[i] = PointerGetDatum(cstring_to_text_with_len(first[i].id, first[i].length));
	named->ids = construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT);
	named->first = Min(first[0].time, first[count - 1].time);
	named->last = Max(first[0].time, first[count - 1].time);
	ahead->next += count;
	return true;
}

/*
 * Note the time of a record that was taken from a page.
 */
void
NotePageTime(KeysAhead *ahead, TimestampTz time)
{
	if (ahead == NULL)
		return;
	if (ahead->page_count++ == 0)
		ahead->page_first = time;
	ahead->page_last = time;
}
