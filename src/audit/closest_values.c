/*
 * closest_values.c
 *		Values that exist in place of those that a filter asks for in vain.
 *
 * If no record matches a query, one of its texts may be mistyped.  For each that no
 * record was found with, the closest values that there are can be named: but only
 * values of records that the caller's grants cover for reading, as the others are
 * nobody else's business.
 *
 * The search reads a bounded number of records, whatever the size of the table, and
 * nothing without an index.  It goes from one provider, one outcome, one tenant to
 * the next in the gateway's own indexes and reads some of the newest records of each.
 * Of a table that is partitioned by time only the newest partitions are read so.
 * Before that, each value is looked up in all records if an index has its column.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "audit/audit_sql.h"
#include "audit/closest_values.h"
#include "audit/time_steps.h"
#include "base/identity.h"
#include "base/message.h"
#include "base/partial_index.h"
#include "base/text.h"
#include "queue/effect.h"

/* Bytes of a value that is compared with others; the distance takes the square of it. */
#define LONGEST_VALUE 128

/* Steps from partition to partition, of which each takes more of them (time_steps.c). */
#define NEWEST_STEPS 2

/* Records that are fetched at once. */
#define FETCHED_AT_ONCE 500

/* A way from one value to the next: through an index on these columns and the time. */
typedef struct Path
{
	const char *columns[2]; /* the second one NULL: it is one column */
	int values;             /* at most so many */
	int records;            /* of each, so many of the newest */
} Path;

static const Path paths[] = {
	{{"provider", NULL}, 100, 50},
	{{"outcome", NULL}, 50, 200},
	{{"namespace", "tenant"}, 5000, 2},
};

/* The namespaces in which a tenant is looked up. */
static const Path namespaces = {{"namespace", NULL}, 100, 1};

/* The columns of a record by which grants cover it. */
static const TextFilter granted[] = {FILTER_TENANT, FILTER_NAMESPACE, FILTER_PROVIDER,
									 FILTER_ACTION_TYPE};

/* A search for values. */
typedef struct ValueSearch
{
	const AuditTable *table;
	Grants *grants;
	MemoryContext context;                            /* in which what is found lives */
	NotFound sought[NUM_TEXT_FILTERS + MAX_OUTCOMES]; /* without those that were found */
	int count;
} ValueSearch;

/*
 * Seek a value of a filter.  An outcome that the gateway is known to write is not
 * mistyped, and one id is not close to another.
 */
static void
seek(ValueSearch *search, TextFilter filter, const char *value)
{
	NotFound *sought = &search->sought[search->count];

	if (filter == FILTER_CHAIN_ID || (filter == FILTER_OUTCOME && IsKnownOutcome(value)) ||
		(filter == FILTER_NAMESPACE && value[0] == '{')) /* see NoticeNamespace */
		return;
	memset(sought, 0, sizeof(*sought));
	sought->filter = filter;
	sought->value = value;
	search->count++;
}

/*
 * Seek all values of a query.
 */
static void
seek_all(ValueSearch *search, const ReplayQuery *query)
{
	for (TextFilter filter = 0; filter < NUM_TEXT_FILTERS; filter++)
	{
		if (query->filters[filter] != NULL && filter != FILTER_OUTCOME)
			seek(search, filter, query->filters[filter]);
	}
	for (int i = 0; i < query->outcome_count; i++)
		seek(search, FILTER_OUTCOME, query->outcomes[i]);
}

/*
 * Whether the key of an index begins with the columns of a path, in one direction.
 * With by_time, the time follows them.
 */
static bool
begins_with(const AuditTable *table, Relation index, const Path *path, bool by_time)
{
	Form_pg_index form = index->rd_index;
	int count = path->columns[1] == NULL ? 1 : 2;

	if (!form->indisvalid || IsPartialIndex(index) ||
		(index->rd_rel->relkind == RELKIND_INDEX && index->rd_rel->relam != BTREE_AM_OID) ||
		form->indnkeyatts < count + by_time)
		return false;
	for (int k = 0; k < count; k++)
	{
		if (form->indkey.values[k] != AuditColumn(table, path->columns[k]) ||
			!HasCollationOf(index, k, table->rel) ||
			index->rd_indoption[k] != index->rd_indoption[0])
			return false;
	}
	return !by_time ||
		   form->indkey.values[count] == AuditColumn(table, RecordColumnNames[COL_DISPATCHED_AT]);
}

/*
 * Whether a path can be gone: there is an index for it.
 */
static bool
has_index(const AuditTable *table, const Path *path, bool by_time)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool found = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found = found || begins_with(table, index, path, by_time);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/*
 * Whether a search needs a column: it is sought, or decides what grants cover.
 */
static bool
is_needed(const ValueSearch *search, TextFilter column)
{
	for (int i = 0; i < search->count; i++)
	{
		if (search->sought[i].filter == column)
			return true;
	}
	for (int i = 0; i < lengthof(granted); i++)
	{
		if (granted[i] == column)
			return true;
	}
	return false;
}

/*
 * Add the columns of "a", one for each text filter.
 */
static void
add_columns(const ValueSearch *search, Statement *st)
{
	for (TextFilter column = 0; column < NUM_TEXT_FILTERS; column++)
		appendStringInfo(&st->sql, "%s%s", column == 0 ? " " : ", ",
						 is_needed(search, column) ? psprintf("a.%s", TextFilterNames[column])
												   : "NULL::pg_catalog.text");
}

/*
 * Build the statement that looks up a value, whose column an index begins with, or of
 * a tenant in one namespace after the other.
 */
static void
look_up_sql(const ValueSearch *search, Statement *st, const NotFound *sought)
{
	appendStringInfoString(&st->sql, "SELECT");
	add_columns(search, st);
	AddRecords(st, search->table);
	AddEqual(st, search->table, "a", TextFilterNames[sought->filter], "$%d",
			 AddParameter(st, TEXTOID, CStringGetTextDatum(sought->value)));
	appendStringInfoString(&st->sql, " LIMIT 1");
}

/*
 * Add the values of a path, as "s": each is found by one probe of the index from the one
 * before.  times is a condition on "a".
 */
static void
add_values(Statement *st, const AuditTable *table, const Path *path, const char *times)
{
	const char *first = path->columns[0];
	const char *second = path->columns[1];
	bool is_pair = second != NULL;
	char *names = is_pair ? psprintf("a.%s, a.%s", first, second) : psprintf("a.%s", first);
	char *present = is_pair ? psprintf("a.%s IS NOT NULL AND a.%s IS NOT NULL", first, second)
							: psprintf("a.%s IS NOT NULL", first);
	char *after =
		is_pair ? psprintf("ROW(a.%s, a.%s)" GT "ROW(s.%s, s.%s)", first, second, first, second)
				: psprintf("a.%s" GT "s.%s", first, first);

	appendStringInfo(&st->sql,
					 "WITH RECURSIVE s AS ((SELECT %s FROM %s AS a WHERE %s%s ORDER BY %s LIMIT 1)"
					 " UNION ALL SELECT n.* FROM s CROSS JOIN LATERAL (SELECT %s FROM %s AS a"
					 " WHERE %s AND %s%s ORDER BY %s LIMIT 1) AS n)",
					 names, table->quoted_name, present, times, names, names, table->quoted_name,
					 after, present, times, names);
}

/*
 * Build the statement that goes a path and reads the newest records of each of its
 * values; or, with a tenant, one record of that in each namespace.
 */
static void
go_sql(const ValueSearch *search, Statement *st, const Path *path, const char *times,
	   const NotFound *tenant)
{
	add_values(st, search->table, path, times);
	appendStringInfoString(&st->sql, " SELECT");
	add_columns(search, st);
	appendStringInfo(&st->sql,
					 " FROM (SELECT * FROM s LIMIT %d) AS s CROSS JOIN LATERAL (SELECT a.*",
					 path->values);
	AddRecords(st, search->table);
	for (int i = 0; i < lengthof(path->columns) && path->columns[i] != NULL; i++)
		appendStringInfo(&st->sql, " AND a.%s" EQ "s.%s", path->columns[i], path->columns[i]);
	if (tenant != NULL)
		AddEqual(st, search->table, "a", TextFilterNames[FILTER_TENANT], "$%d",
				 AddParameter(st, TEXTOID, CStringGetTextDatum(tenant->value)));
	else
		appendStringInfo(&st->sql, "%s ORDER BY a.dispatched_at DESC", times);
	appendStringInfo(&st->sql, " LIMIT %d) AS a", path->records);
}

/*
 * Take a value that was found out of the sought ones.
 */
static void
note_found(ValueSearch *search, const text *const *values)
{
	int kept = 0;

	for (int i = 0; i < search->count; i++)
	{
		const text *value = values[search->sought[i].filter];

		if (value == NULL || !TextIs(value, search->sought[i].value))
			search->sought[kept++] = search->sought[i];
	}
	search->count = kept;
}

/*
 * How many characters have to be changed, at least, to make one value of another;
 * a small letter and its capital are the same.  More than the given number are not
 * counted exactly.
 */
static int
find_distance(const char *a, int a_len, const char *b, int b_len, int most)
{
	char small_a[LONGEST_VALUE], small_b[LONGEST_VALUE];

	for (int i = 0; i < a_len; i++)
		small_a[i] = pg_ascii_tolower((unsigned char) a[i]);
	for (int i = 0; i < b_len; i++)
		small_b[i] = pg_ascii_tolower((unsigned char) b[i]);
	return varstr_levenshtein_less_equal(small_a, a_len, small_b, b_len, 1, 1, 1, most, true);
}

/*
 * Keep a value of a record that the caller may read, if it is among the closest ones.
 */
static void
consider(ValueSearch *search, NotFound *sought, const text *value)
{
	const char *bytes = VARDATA_ANY(value);
	int len = VARSIZE_ANY_EXHDR(value);
	int sought_len = strlen(sought->value);
	bool is_full = sought->count == CLOSEST_VALUES;
	int most = is_full ? sought->closest[CLOSEST_VALUES - 1].distance : LONGEST_VALUE;
	int distance, place;

	if (len > LONGEST_VALUE || sought_len > LONGEST_VALUE)
		return;
	for (int i = 0; i < sought->count; i++)
	{
		if (TextIs(value, sought->closest[i].value))
			return;
	}
	distance = find_distance(sought->value, sought_len, bytes, len, most);
	/* Of those that are equally close, the first by their bytes. */
	for (place = sought->count; place > 0; place--)
	{
		const char *before = sought->closest[place - 1].value;
		int difference = sought->closest[place - 1].distance - distance;

		if (difference == 0)
		{
			difference = memcmp(before, bytes, Min(strlen(before), len));
			if (difference == 0)
				difference = (int) strlen(before) - len;
		}
		if (difference < 0)
			break;
	}
	if (place == CLOSEST_VALUES)
		return;
	if (!is_full)
		sought->count++;
	memmove(&sought->closest[place + 1], &sought->closest[place],
			(sought->count - place - 1) * sizeof(sought->closest[0]));
	sought->closest[place].value = MemoryContextStrdup(search->context, pnstrdup(bytes, len));
	sought->closest[place].distance = distance;
}

/*
 * Take a record: values that it has are found; others that it has exist, which the
 * caller is told only if a grant covers the record for reading.
 */
static void
take_record(ValueSearch *search, HeapTuple tuple, TupleDesc desc)
{
	Datum columns[NUM_TEXT_FILTERS];
	bool nulls[NUM_TEXT_FILTERS];
	const text *values[NUM_TEXT_FILTERS];
	GrantTarget target;

	heap_deform_tuple(tuple, desc, columns, nulls);
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		values[i] = nulls[i] ? NULL : (text *) DatumGetPointer(columns[i]);
		/* What lies elsewhere is long, and may be damaged. */
		if (!nulls[i] && (VARATT_IS_EXTERNAL(values[i]) || VARATT_IS_COMPRESSED(values[i])))
			values[i] = NULL;
	}
	note_found(search, values);
	target = (GrantTarget){.tenant = values[FILTER_TENANT],
						   .namespace = values[FILTER_NAMESPACE],
						   .provider = values[FILTER_PROVIDER],
						   .action_type = values[FILTER_ACTION_TYPE]};
	if (target.tenant == NULL || target.namespace == NULL || target.provider == NULL ||
		target.action_type == NULL || !GrantsCover(search->grants, GRANT_READ, &target))
		return;
	for (int i = 0; i < search->count; i++)
	{
		const text *value = values[search->sought[i].filter];

		if (value != NULL)
			consider(search, &search->sought[i], value);
	}
}

/*
 * Run a statement as the table's owner, and take its records until all values that are
 * sought are found.
 */
static void
run(ValueSearch *search, Statement *st)
{
	MemoryContext old = CurrentMemoryContext;
	Portal portal;
	Identity caller;
	uint64 fetched;

	SwitchIdentity(&caller, search->table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_bitmapscan", "off");
	SetLocally("enable_sort", "off");
	SetLocally("enable_indexscan", "on");
	SetLocally("enable_nestloop", "on");
	SetLocally("jit", "off");
	portal = SPI_cursor_open_with_args(NULL, st->sql.data, st->nargs, st->types, st->values, NULL,
									   true, CURSOR_OPT_FAST_PLAN);
	RestoreIdentity(&caller);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SwitchIdentity(&caller, search->table->owner);
		SPI_cursor_fetch(portal, true, FETCHED_AT_ONCE);
		RestoreIdentity(&caller);
		MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
		fetched = SPI_processed;
		for (uint64 i = 0; i < fetched; i++)
			take_record(search, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	} while (fetched == FETCHED_AT_ONCE && search->count > 0);
	SPI_cursor_close(portal);
}

/*
 * Look up each value that is sought, as far as indexes allow, in all records.
 */
static void
look_up(ValueSearch *search)
{
	for (int i = search->count - 1; i >= 0; i--)
	{
		NotFound *sought = &search->sought[i];
		Path path = {.columns = {TextFilterNames[sought->filter]}};
		Statement st;

		BeginStatement(&st);
		if (has_index(search->table, &path, false))
			look_up_sql(search, &st, sought);
		else if (sought->filter == FILTER_TENANT && has_index(search->table, &paths[2], false))
			go_sql(search, &st, &namespaces, "", sought);
		else
			continue;
		sought->is_indexed = true;
		run(search, &st);
		/* More than this one may have been found. */
		i = Min(i, search->count);
	}
}

/*
 * The condition that a record is in the newest partitions of a table that is
 * partitioned by time; nothing for another one.
 */
static const char *
newest_partitions(const AuditTable *table, Statement *st)
{
	const OptionalTime any = {false};
	TimeSteps steps;
	TimestampTz from, to;

	BeginTimeSteps(&steps, table, &any, &any);
	if (steps.count == 0)
		return "";
	/* The newest one may have just begun. */
	for (int i = 0; i < NEWEST_STEPS && NextTimeStep(&steps, &from, &to); i++)
		;
	return psprintf(" AND a.dispatched_at" GE "$%d",
					AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(from)));
}

/*
 * Find the values of a query, which no record matches, that no record was found with,
 * each with the closest values of records that these grants cover for reading: a list
 * of NotFound in the given memory context.  Values in whose place there are none are
 * left out, and all of a table on another server, in which each record is a round
 * trip, or with children, which may lack the indexes.  Needs an SPI connection.
 */
List *
FindClosestValues(const AuditTable *table, const ReplayQuery *query, Grants *grants,
				  MemoryContext context)
{
	MemoryContext own =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay values", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(own);
	ValueSearch search = {.table = table, .grants = grants, .context = context};
	List *result = NIL;

	if (!AuditTableIsRemote(table) &&
		!(table->rel->rd_rel->relkind == RELKIND_RELATION && table->rel->rd_rel->relhassubclass))
		seek_all(&search, query);
	look_up(&search);
	for (int i = 0; i < lengthof(paths) && search.count > 0; i++)
	{
		Statement st;

		if (!has_index(table, &paths[i], true))
			continue;
		BeginStatement(&st);
		go_sql(&search, &st, &paths[i], newest_partitions(table, &st), NULL);
		run(&search, &st);
	}
	MemoryContextSwitchTo(context);
	for (int i = 0; i < search.count; i++)
	{
		NotFound *not_found;

		if (search.sought[i].count == 0)
			continue;
		not_found = palloc(sizeof(NotFound));
		*not_found = search.sought[i];
		result = lappend(result, not_found);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(own);
	return result;
}

/*
 * A filter and its value, for people.
 */
char *
FilterAndValue(const NotFound *not_found)
{
	return psprintf("%s \"%s\"", TextFilterNames[not_found->filter],
					ClipForMessage(not_found->value, strlen(not_found->value)));
}

/*
 * The closest values, with commas between them.
 */
char *
ListClosest(const NotFound *not_found)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < not_found->count; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", not_found->closest[i].value);
	return list.data;
}

/*
 * Raise a NOTICE for each value of a query, which no record matches, that no record was
 * found with; see FindClosestValues.
 */
void
NoticeClosestValues(const AuditTable *table, const ReplayQuery *query, Grants *grants)
{
	List *found = FindClosestValues(table, query, grants, CurrentMemoryContext);
	ListCell *lc;

	foreach (lc, found)
	{
		const NotFound *not_found = lfirst(lc);

		ereport(NOTICE, (errmsg("found no record with %s", FilterAndValue(not_found)),
						 not_found->is_indexed
							 ? 0
							 : errdetail("Only some of the newest records were searched."),
						 errhint("Closest existing values: %s.", ListClosest(not_found))));
	}
}
