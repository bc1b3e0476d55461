/*
 * audit_sql.c
 *		The statements that search the audit table.
 *
 * A statement is built from the filters that were given: quoted identifiers,
 * operators of pg_catalog, values as parameters.  Columns that the gateway added
 * in later versions are read only where a filter asks for them, or where they
 * are there.  The table is "a" in it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_sql.h"
#include "audit/audit_value.h"
#include "base/identity.h"
#include "base/settings.h"
#include "base/text.h"

/*
 * What was lost, by the names of the outcomes: LOST_OUTCOMES, and what was
 * executed and failed.  effect.c has the last word on those that were found.
 */
#define LOST_OUTCOMES "failed", "circuit_open", "throttled", "quota_exceeded"
#define HAS_FAILED(alias) \
	alias ".outcome_details OPERATOR(pg_catalog.->>) 'status'::pg_catalog.text" EQ \
		  "'Failure'::pg_catalog.text"

/* A record is dated in the future if it is so much later than now. */
#define FUTURE_TOLERANCE USECS_PER_MINUTE

/*
 * Begin a statement, with nothing in it yet.
 */
void
BeginStatement(Statement *st)
{
	initStringInfo(&st->sql);
	st->nargs = 0;
}

/*
 * Add a parameter; returns its number.
 */
int
AddParameter(Statement *st, Oid type, Datum value)
{
	Assert(st->nargs < lengthof(st->types));
	st->types[st->nargs] = type;
	st->values[st->nargs] = value;
	return ++st->nargs;
}

/*
 * The condition that a record has one of the outcomes that we know.
 */
char *
OutcomeTest(const AuditTable *table, const char *alias, const char *outcome)
{
	return TextTest(table, alias, RecordColumnNames[COL_OUTCOME],
					psprintf(EQ "'%s'::pg_catalog.text", outcome));
}

/*
 * The condition that a record says that its action was lost.
 */
static char *
lost_test(const AuditTable *table, const char *alias)
{
	return psprintf(
		"(%s OR %s AND " HAS_FAILED("%s") " IS TRUE)",
		TextTest(table, alias, RecordColumnNames[COL_OUTCOME],
				 EQ "ANY ('{failed,circuit_open,throttled,quota_exceeded}'::pg_catalog.text[])"),
		OutcomeTest(table, alias, EXECUTED_OUTCOME), alias);
}

/*
 * Begin a statement that selects the records' columns of "a", which is to follow.
 */
void
SelectRecords(Statement *st, const AuditTable *table)
{
	BeginStatement(st);
	for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
	{
		const char *absent =
			i == COL_CHAIN_ID ? "NULL::pg_catalog.text AS " : "NULL::pg_catalog.jsonb AS ";

		appendStringInfo(&st->sql, "%s %s%s", i == 0 ? "SELECT" : ",",
						 table->has[i] ? "a." : absent, RecordColumnNames[i]);
	}
}

/*
 * Add the table, as "a".
 */
void
AddRecords(Statement *st, const AuditTable *table)
{
	appendStringInfo(&st->sql, " FROM %s AS a WHERE true", table->quoted_name);
}

/*
 * Add that a text column is equal to a parameter, or to an element of one.
 */
void
AddEqual(Statement *st, const AuditTable *table, const char *alias, const char *column,
		 const char *format, int parameter)
{
	char *equals = psprintf(EQ "%s", psprintf(format, parameter));

	appendStringInfo(&st->sql, " AND %s", TextTest(table, alias, column, equals));
}

/*
 * Add the text filters that were given, but for the outcome.
 */
static void
add_text_filters(Statement *st, const AuditTable *table, const ReplayQuery *query,
				 const char *alias)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		const char *name = TextFilterNames[i];

		if (query->filters[i] == NULL || i == FILTER_OUTCOME)
			continue;
		if (AuditColumn(table, name) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot filter by %s: audit table %s has no such column", name,
							table->quoted_name),
					 errhint("This gateway's version does not record it; leave the filter out.")));
		CheckAuditColumn(table, name, TEXTOID);
		AddEqual(st, table, alias, name, "$%d",
				 AddParameter(st, TEXTOID, CStringGetTextDatum(query->filters[i])));
	}
}

/*
 * Add one bound of the time range.
 */
static void
add_time_bound(Statement *st, const char *alias, const char *operator, const OptionalTime * bound)
{
	if (bound->given)
		appendStringInfo(&st->sql, " AND %s.dispatched_at%s$%d", alias, operator,
						 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(bound->time)));
}

/*
 * Add the cursor.  The plain comparison of dispatched_at is what an index can
 * use; the rest decides among records of the same time.  Where several can have one
 * time and one id, AuditScanTake passes over those that were looked at.
 */
static void
add_cursor(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	int time, id;

	if (query->cursor_text == NULL)
		return;
	time = AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(query->cursor.dispatched_at));
	id = AddParameter(st, TEXTOID, CStringGetTextDatum(query->cursor.id));
	if (query->newest_first)
		appendStringInfo(&st->sql,
						 " AND a.dispatched_at" LE "$%d"
						 " AND (a.dispatched_at" LT "$%d OR a.id" C_ORDER "%s$%d)",
						 time, time, HasUniquePlaces(table) ? LT : LE, id);
	else
		appendStringInfo(&st->sql,
						 " AND a.dispatched_at" GE "$%d"
						 " AND (a.dispatched_at" GT "$%d OR a.id" C_ORDER "%s$%d)",
						 time, time, HasUniquePlaces(table) ? GT : GE, id);
}

/*
 * Add what a query asks of a record wherever a search stands, and whatever its
 * outcome means.
 */
static void
add_lasting_filters(Statement *st, const AuditTable *table, const ReplayQuery *query,
					const char *alias)
{
	add_text_filters(st, table, query, alias);
	add_time_bound(st, alias, GE, &query->from);
	add_time_bound(st, alias, LE, &query->to);
}

/*
 * Add what a query asks of a record, whatever its outcome means.
 */
static void
add_filters(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	add_lasting_filters(st, table, query, "a");
	add_cursor(st, table, query);
	appendStringInfoString(&st->sql, " AND a.dispatched_at IS NOT NULL AND a.id IS NOT NULL");
}

/*
 * Add that the outcome is a given one.
 */
static void
add_outcome(Statement *st, const AuditTable *table, const char *outcome)
{
	AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "$%d",
			 AddParameter(st, TEXTOID, CStringGetTextDatum(outcome)));
}

/*
 * Add the condition that a record is old enough, or not, for the gateway to
 * have stopped working on it.  The age is measured against the newest record,
 * because the clock also advances while a gateway is down or being restored.
 */
static void
add_grace(Statement *st, const AuditTable *table, const char *operator)
{
	TimestampTz newest = AuditNewest(table);

	if (!TIMESTAMP_NOT_FINITE(newest))
		newest = TimestampTzPlusMilliseconds(newest, -(int64) IntentGrace * 1000);
	appendStringInfo(&st->sql, " AND a.dispatched_at%s$%d", operator,
					 AddParameter(st, TIMESTAMPTZOID, TimestampTzGetDatum(newest)));
}

/*
 * Add that a record is of the action of another one, and not earlier.
 */
static void
add_same_action(Statement *st, const AuditTable *table, const char *record, const char *other)
{
	static const RecordColumn columns[] = {COL_ACTION_ID, COL_NAMESPACE, COL_TENANT};

	for (int i = 0; i < lengthof(columns); i++)
	{
		const char *name = RecordColumnNames[columns[i]];

		appendStringInfo(&st->sql, "%s AND ",
						 TextTest(table, record, name, psprintf(EQ "%s.%s", other, name)));
	}
	appendStringInfo(&st->sql, "%s.dispatched_at" GE "%s.dispatched_at", record, other);
}

/*
 * Add that an intent has a companion, or has none: an outcome record of the same
 * action, at the same time or later.
 */
static void
add_companion(Statement *st, const AuditTable *table, const char *exists, const char *intent)
{
	appendStringInfo(&st->sql, " AND %s (SELECT FROM %s AS c WHERE ", exists, table->quoted_name);
	add_same_action(st, table, "c", intent);
	appendStringInfo(&st->sql, " AND NOT %s)", OutcomeTest(table, "c", INTENT_OUTCOME));
}

/*
 * Add that an intent is, or is not, that of a chain's step.  Its outcome has the
 * id of the action that started the chain.
 */
static void
add_step(Statement *st, const AuditTable *table, bool is_step)
{
	if (table->has[COL_CHAIN_ID])
		appendStringInfo(&st->sql, " AND a.chain_id IS %sNULL", is_step ? "NOT " : "");
	else if (is_step)
		appendStringInfoString(&st->sql, " AND false");
}

/*
 * Add that nothing is known of a record's action afterwards: no record with another
 * effect, no intent without an outcome, and no later record that was lost, too, and
 * that the query finds instead.
 */
static void
add_nothing_later(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	appendStringInfo(&st->sql, " AND NOT EXISTS (SELECT FROM %s AS b WHERE ", table->quoted_name);
	add_same_action(st, table, "b", "a");
	appendStringInfo(&st->sql,
					 " AND (NOT %s AND NOT %s OR %s AND b.dispatched_at" GT "a.dispatched_at",
					 OutcomeTest(table, "b", INTENT_OUTCOME), lost_test(table, "b"),
					 OutcomeTest(table, "b", INTENT_OUTCOME));
	add_companion(st, table, "NOT EXISTS", "b");
	appendStringInfo(&st->sql,
					 " OR %s AND (b.dispatched_at" GT "a.dispatched_at OR b.id" C_ORDER GT "a.id)",
					 lost_test(table, "b"));
	add_lasting_filters(st, table, query, "b");
	appendStringInfoString(&st->sql, "))");
}

/*
 * Add what is asked of the records with one outcome, NULL for any.  Intent records
 * are no candidates, unless they are what is asked for: then the lone ones, which
 * the gateway cannot be working on any more.
 */
static void
add_conditions(Statement *st, const AuditTable *table, const char *outcome, const char *filters)
{
	appendStringInfoString(&st->sql, filters);
	if (outcome == NULL)
		appendStringInfo(&st->sql, " AND NOT %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	else
		add_outcome(st, table, outcome);
	if (outcome != NULL && strcmp(outcome, INTENT_OUTCOME) == 0)
	{
		add_grace(st, table, LT);
		add_companion(st, table, "NOT EXISTS", "a");
		add_step(st, table, false);
	}
}

/*
 * The filters of a query as text; their parameters are added to the statement.
 */
static char *
make_filters(Statement *st, const AuditTable *table, const ReplayQuery *query,
			 const CandidateUse *use)
{
	StringInfoData sql = st->sql;
	char *filters;

	initStringInfo(&st->sql);
	add_filters(st, table, query);
	if (use->among != NULL)
		AddEqual(st, table, "a", RecordColumnNames[COL_ACTION_ID], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, PointerGetDatum(use->among)));
	filters = st->sql.data;
	st->sql = sql;
	return filters;
}

/*
 * Add the records with several outcomes, as "a": those of each, one after the other,
 * or each in the query's order, which an index on (outcome, dispatched_at) gives, for
 * the server to merge.
 */
static void
add_union(Statement *st, const AuditTable *table, int count, const char *const *outcomes,
		  const char *filters, const char *order)
{
	appendStringInfoString(&st->sql, " FROM (");
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&st->sql, "%s(SELECT a.*", i == 0 ? "" : " UNION ALL ");
		AddRecords(st, table);
		add_conditions(st, table, outcomes[i], filters);
		appendStringInfo(&st->sql, "%s)", order);
	}
}

/*
 * The order in which a query reads the records, as far as an index has it; nothing
 * where they are read in any.
 */
static const char *
time_order(const ReplayQuery *query, const CandidateUse *use)
{
	if (!use->in_order)
		return "";
	return query->newest_first ? " ORDER BY dispatched_at DESC" : " ORDER BY dispatched_at ASC";
}

/*
 * Add the records that were lost.  Most of the table are executed records, and
 * no index shows which of them had no effect.  So where the records are read in
 * order they are first merged by time and then checked: otherwise the server
 * would read through all of them to find the first that is lost, for each page
 * again.
 */
static void
add_lost(Statement *st, const AuditTable *table, const ReplayQuery *query, const char *filters,
		 const char *order)
{
	static const char *const outcomes[] = {LOST_OUTCOMES, EXECUTED_OUTCOME};

	add_union(st, table, lengthof(outcomes), outcomes, filters, order);
	if (order[0] != '\0')
		appendStringInfo(&st->sql, "%s OFFSET 0", order);
	appendStringInfo(&st->sql, ") AS a WHERE (NOT %s OR " HAS_FAILED("a") ")",
					 OutcomeTest(table, "a", EXECUTED_OUTCOME));
	add_nothing_later(st, table, query);
}

/*
 * Add the records that are candidates of a query, as "a".
 */
void
AddCandidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
			  const CandidateUse *use)
{
	const char *filters = make_filters(st, table, query, use);
	const char *order = time_order(query, use);

	if (query->lost)
		add_lost(st, table, query, filters, order);
	else if (query->outcome_count > 1)
	{
		add_union(st, table, query->outcome_count, (const char *const *) query->outcomes, filters,
				  order);
		appendStringInfoString(&st->sql, ") AS a WHERE true");
	}
	else
	{
		AddRecords(st, table);
		add_conditions(st, table, query->outcome_count == 0 ? NULL : query->outcomes[0], filters);
	}
}

/*
 * The outcomes that a query asks for, as an array.
 */
static Datum
outcome_array(const ReplayQuery *query)
{
	Datum outcomes[MAX_OUTCOMES];

	for (int i = 0; i < query->outcome_count; i++)
		outcomes[i] = CStringGetTextDatum(query->outcomes[i]);
	return PointerGetDatum(
		construct_array(outcomes, query->outcome_count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Add the records that a query, which was given an end, would find after it.  The
 * clock of the gateway may be a little ahead, and records are written meanwhile.
 */
static bool
add_future(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	static const CandidateUse use = {.in_order = false};
	ReplayQuery later = *query;

	if (!query->is_cut)
		return false;
	later.from = (OptionalTime){true, query->to.time + FUTURE_TOLERANCE};
	later.to = query->uncut_to;
	AddCandidates(st, table, &later, &use);
	return true;
}

/*
 * Add the records that have no place in the order of a search, as far as a query asks
 * for them.
 */
static bool
add_no_place(Statement *st, const AuditTable *table, const ReplayQuery *query)
{
	ReplayQuery uncut = *query;

	if (IsNeverNull(table, COL_ID) && IsNeverNull(table, COL_DISPATCHED_AT))
		return false;
	if (query->is_cut)
		uncut.to = query->uncut_to;
	AddRecords(st, table);
	add_lasting_filters(st, table, &uncut, "a");
	appendStringInfoString(&st->sql, " AND (a.id IS NULL OR a.dispatched_at IS NULL)");
	if (query->lost)
		appendStringInfo(&st->sql, " AND %s", lost_test(table, "a"));
	else if (query->outcome_count == 0)
		appendStringInfo(&st->sql, " AND NOT %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	else
		AddEqual(st, table, "a", RecordColumnNames[COL_OUTCOME], "ANY ($%d)",
				 AddParameter(st, TEXTARRAYOID, outcome_array(query)));
	return true;
}

/*
 * Add what makes a record no candidate although the filters match it.  Returns
 * false if there are no such records.
 */
bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which)
{
	if (which == LEFT_OUT_FUTURE)
		return add_future(st, table, query);
	if (which == LEFT_OUT_NO_PLACE)
		return add_no_place(st, table, query);
	AddRecords(st, table);
	add_filters(st, table, query);
	appendStringInfo(&st->sql, " AND %s", OutcomeTest(table, "a", INTENT_OUTCOME));
	if (which == LEFT_OUT_INTENT)
		return query->outcome_count == 0 && !query->lost;
	if (!AsksForOutcome(query, INTENT_OUTCOME))
		return false;
	add_step(st, table, which == LEFT_OUT_STEP);
	if (which == LEFT_OUT_STEP)
		return true;
	add_grace(st, table, which == LEFT_OUT_YOUNG ? GE : LT);
	if (which == LEFT_OUT_FINISHED)
		add_companion(st, table, "EXISTS", "a");
	return true;
}

/*
 * Whether a query compares a column for equality.
 */
static bool
is_compared(const AuditTable *table, AttrNumber column, const ReplayQuery *query)
{
	for (int i = 0; i < NUM_TEXT_FILTERS; i++)
	{
		if (query->filters[i] != NULL && column == AuditColumn(table, TextFilterNames[i]))
			return true;
	}
	/* So it is in each part of the statement. */
	return query->lost && column == AuditColumn(table, RecordColumnNames[COL_OUTCOME]);
}

/* What an index can do for a query. */
typedef enum IndexUse
{
	INDEX_OF_NO_USE,
	INDEX_GIVES_ORDER, /* columns that the query compares, then dispatched_at */
	INDEX_FINDS_FEW    /* nothing but columns that the query compares */
} IndexUse;

/*
 * Determine how an index can be used for a query.
 */
static IndexUse
index_use(const AuditTable *table, Relation index, const ReplayQuery *query)
{
	Form_pg_index form = index->rd_index;
	AttrNumber order = AuditColumn(table, RecordColumnNames[COL_DISPATCHED_AT]);

	if (!form->indisvalid)
		return INDEX_OF_NO_USE;
	for (int k = 0; k < form->indnkeyatts; k++)
	{
		AttrNumber column = form->indkey.values[k];

		if (!HasCollationOf(index, k, table->rel))
			return INDEX_OF_NO_USE;

		if (column == order && k > 0 && index->rd_rel->relam == BTREE_AM_OID &&
			RelationGetIndexPredicate(index) == NIL)
			return INDEX_GIVES_ORDER;
		if (!is_compared(table, column, query))
			return INDEX_OF_NO_USE;
	}
	return INDEX_FINDS_FEW;
}

/*
 * Whether the records are best read in the order of an index: one can deliver
 * it, and none is made to find just the records that are asked for, as the one
 * on chain_id is.
 */
static bool
order_comes_from_index(const AuditTable *table, const ReplayQuery *query)
{
	List *indexes = RelationGetIndexList(table->rel);
	bool ordered = false;
	bool few = false;
	ListCell *lc;

	foreach (lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		IndexUse use = index_use(table, index, query);

		ordered |= use == INDEX_GIVES_ORDER;
		few |= use == INDEX_FINDS_FEW;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return ordered && !few;
}

/*
 * Tell the planner what it cannot know: that we stop early, so that reading in
 * the order of an index is better than collecting and sorting all matches,
 * whatever the statistics say.  If no index provides the order, the planner
 * decides alone.
 */
void
GuidePlanner(const AuditTable *table, const ReplayQuery *query)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"},   {"enable_bitmapscan", "off"},
		{"enable_sort", "off"},      {"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"}, {"enable_material", "off"},
		{"enable_indexscan", "on"},  {"enable_incremental_sort", "on"},
		{"enable_nestloop", "on"},   {"jit", "off"},
	};

	if (!order_comes_from_index(table, query))
		return;
	for (int i = 0; i < lengthof(settings); i++)
		SetLocally(settings[i][0], settings[i][1]);
}
