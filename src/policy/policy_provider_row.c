/*
 * policy_provider_row.c
 *		The rows of acteon_replay_policy_provider: how it is with a provider.
 *
 * What is read is the row, and what has become of its batch.  Acts as the current user, who
 * must own the tables, and needs an SPI connection.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "policy/policy_provider_row.h"
#include "query/states.h"
#include "queue/batch_flags.h"
#include "queue/effect.h"
#include "queue/limit.h"

/*
 * %1$s is the extension's schema; see redrive.c about the search path.  $1 is the policy, $2 the
 * provider that takes the place of all others, if there is one.
 */
#define READ_PROVIDERS \
	"SELECT r.provider, r.state, r.batch_id, r.is_probe, r.is_ours, r.failing_since, r.try_at," \
	"	r.failures, r.cursor, r.at_end, r.probed, r.floor_at, r.sweep_from," \
	"	r.sweep_to, coalesce(" IS_PAUSED( \
		"b") ", false)," \
			 "	coalesce(" IS_CANCELLED( \
				 "b") ", false), b.stopped_by IS NOT NULL, b.stop_reason," \
					  "	coalesce(t.ended, 0)::bigint," \
					  "	EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
					  "		WHERE s.first_id BETWEEN b.first_outbox_id AND b.last_outbox_id AND s.batch_id = b.id)," \
					  "	EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
					  "		WHERE s.first_id BETWEEN b.first_outbox_id AND b.last_outbox_id AND s.batch_id = b.id" \
					  "			AND (s.lease_token IS NOT NULL OR s.doubt_since IS NOT NULL))," \
					  "	coalesce(t.failed, 0)::bigint, coalesce(t.done, 0)::bigint," \
					  "	coalesce(d.rejected, false), d.action_id," \
					  "	EXISTS (SELECT FROM %1$s.acteon_replay_limit AS l WHERE l.kind = '" LIMIT_PROVIDER_NAME \
					  "'" \
					  "		AND l.name = coalesce($2, r.provider) AND l.opened_at IS NOT NULL)," \
					  "	coalesce(b.owner_oid::oid <> b.requested_by_oid::oid, false)," \
					  "	CASE WHEN t.cancelled > 0 THEN (SELECT max(l.logged_at) FROM %1$s.acteon_replay_log AS l" \
					  "		WHERE l.batch_id = b.id AND l.event = 'cancel'" \
					  "			AND l.details ?| '{tenant,provider,action_ids}') END " \
					  "FROM %1$s.acteon_replay_policy_provider AS r " \
					  "LEFT JOIN %1$s.acteon_replay_batch AS b ON b.id = r.batch_id " \
					  "LEFT JOIN LATERAL (SELECT" \
					  "		sum(y.actions) FILTER (WHERE %1$s.acteon_is_failure(y.state, y.outcome, y.effect)) AS failed," \
					  "		sum(y.actions) FILTER (WHERE y.effect IN (" SQL_EFFECT_DONE \
					  ", " SQL_EFFECT_LATER ")) AS done," \
					  "		sum(y.actions) FILTER (WHERE y.state = " SQL_CANCELLED \
					  ") AS cancelled," \
					  "		sum(y.actions) FILTER (WHERE y.state NOT IN (" SQL_CANCELLED \
					  ", " SQL_EXPIRED ")) AS ended" \
					  "	FROM %1$s.acteon_replay_tally AS y" \
					  "	WHERE y.batch_id = b.id AND y.state <> " SQL_IN_DOUBT ") AS t ON true " \
					  "LEFT JOIN LATERAL (SELECT o.action_id::text AS action_id," \
					  "		e.outcome::jsonb -> 'Failed' ->> 'retryable' = 'false'" \
					  "		AND coalesce(e.outcome::jsonb -> 'Failed' ->> 'attempts', '1') <> '0' AS rejected" \
					  "	FROM %1$s.acteon_dispatch_outbox AS o" \
					  "	LEFT JOIN %1$s.acteon_dispatch_delivery AS e ON e.outbox_id = o.id" \
					  "	WHERE r.is_probe AND o.id = b.last_outbox_id) AS d ON true " \
					  "WHERE r.policy = $1 ORDER BY r.provider"

#define WRITE_PROVIDER \
	"INSERT INTO %1$s.acteon_replay_policy_provider (policy, provider, state, batch_id, is_probe," \
	"	is_ours, failing_since, try_at, failures, cursor, at_end, probed, floor_at," \
	"	sweep_from, sweep_to) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) " \
	"ON CONFLICT (policy, provider) DO UPDATE SET state = excluded.state," \
	"	batch_id = excluded.batch_id, is_probe = excluded.is_probe, is_ours = excluded.is_ours," \
	"	failing_since = excluded.failing_since, try_at = excluded.try_at," \
	"	failures = excluded.failures, cursor = excluded.cursor, at_end = excluded.at_end," \
	"	probed = excluded.probed, floor_at = excluded.floor_at," \
	"	sweep_from = excluded.sweep_from, sweep_to = excluded.sweep_to"

/*
 * $1 is the policy.  What was found out does not hold for other filters than its present ones,
 * $2; a batch that is under way stays the policy's.
 */
#define FORGET_PROVIDERS \
	"UPDATE %1$s.acteon_replay_policy_provider SET state = '" PROVIDER_IDLE "', cursor = NULL," \
	"	at_end = false, probed = '{}', sweep_from = NULL, sweep_to = NULL, failing_since = NULL," \
	"	try_at = NULL " \
	"WHERE policy = $1" \
	"	AND (SELECT p.query FROM %1$s.acteon_replay_policy AS p WHERE p.name = $1) <> $2"

#define DROP_PROVIDERS "DELETE FROM %1$s.acteon_replay_policy_provider WHERE policy = $1"

/*
 * A column of a fetched row, which moves to the next one.
 */
static Datum
next_column(uint64 row, int *column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, ++*column, isnull);
}

static char *
next_text(uint64 row, int *column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, ++*column);
}

static int64
next_number(uint64 row, int *column)
{
	bool isnull;
	Datum value = next_column(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
next_flag(uint64 row, int *column)
{
	bool isnull;

	return DatumGetBool(next_column(row, column, &isnull));
}

/*
 * A list of the texts in the next column.
 */
static List *
next_texts(uint64 row, int *column)
{
	bool isnull;
	Datum array = next_column(row, column, &isnull);
	Datum *texts;
	int count;
	List *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL,
					  &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(texts[i]));
	return list;
}

/*
 * Read a provider from a row of READ_PROVIDERS.
 */
static Provider *
read_provider(uint64 row)
{
	Provider *provider = palloc0(sizeof(Provider));
	int column = 0;
	bool isnull;

	provider->name = next_text(row, &column);
	provider->state = next_text(row, &column);
	provider->batch_id = next_number(row, &column);
	provider->is_probe = next_flag(row, &column);
	provider->is_ours = next_flag(row, &column);
	provider->failing_since = next_number(row, &column);
	provider->try_at = next_number(row, &column);
	provider->failures = DatumGetInt32(next_column(row, &column, &isnull));
	provider->cursor = next_text(row, &column);
	provider->at_end = next_flag(row, &column);
	provider->probed = next_texts(row, &column);
	provider->floor_at = next_number(row, &column);
	provider->sweep_from = next_number(row, &column);
	provider->sweep_to = next_number(row, &column);
	provider->is_paused = next_flag(row, &column);
	provider->is_cancelled = next_flag(row, &column);
	provider->by_person = next_flag(row, &column);
	provider->stop_reason = next_text(row, &column);
	provider->ended = next_number(row, &column);
	provider->has_waiting = next_flag(row, &column);
	provider->is_out = next_flag(row, &column);
	provider->failed = next_number(row, &column);
	provider->done = next_number(row, &column);
	provider->is_rejected = next_flag(row, &column);
	provider->probe_id = next_text(row, &column);
	provider->breaker_is_open = next_flag(row, &column);
	provider->is_handed_over = next_flag(row, &column);
	provider->part_cancelled_at = next_number(row, &column);
	return provider;
}

/*
 * The providers that the policy knows.
 */
List *
ReadPolicyProviders(const Policy *policy)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(policy->name),
					  policy->override == NULL ? (Datum) 0 : CStringGetTextDatum(policy->override)};
	char nulls[] = {' ', policy->override == NULL ? 'n' : ' '};
	List *providers = NIL;

	if (SPI_execute_with_args(psprintf(READ_PROVIDERS, policy->quoted_schema), 2, types, values,
							  nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a policy: %s", SPI_result_code_string(SPI_result));
	for (uint64 row = 0; row < SPI_processed; row++)
		providers = lappend(providers, read_provider(row));
	SPI_freetuptable(SPI_tuptable);
	return providers;
}

/*
 * Texts as an array.
 */
static Datum
text_array(List *list)
{
	Datum *texts = palloc(Max(list_length(list), 1) * sizeof(Datum));
	ListCell *lc;

	foreach (lc, list)
		texts[foreach_current_index(lc)] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(
		construct_array(texts, list_length(list), TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Write down how it is with a provider.
 */
void
WritePolicyProvider(const Policy *policy, const Provider *provider)
{
	Oid types[] = {TEXTOID, TEXTOID,        TEXTOID,        INT8OID,        BOOLOID,
				   BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID,        TEXTOID,
				   BOOLOID, TEXTARRAYOID,   TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(policy->name),
					  CStringGetTextDatum(provider->name),
					  CStringGetTextDatum(provider->state),
					  Int64GetDatum(provider->batch_id),
					  BoolGetDatum(provider->is_probe),
					  BoolGetDatum(provider->is_ours),
					  TimestampTzGetDatum(provider->failing_since),
					  TimestampTzGetDatum(provider->try_at),
					  Int32GetDatum(provider->failures),
					  provider->cursor == NULL ? (Datum) 0 : CStringGetTextDatum(provider->cursor),
					  BoolGetDatum(provider->at_end),
					  text_array(provider->probed),
					  TimestampTzGetDatum(provider->floor_at),
					  TimestampTzGetDatum(provider->sweep_from),
					  TimestampTzGetDatum(provider->sweep_to)};
	char nulls[lengthof(values)];

	memset(nulls, ' ', sizeof(nulls));
	nulls[3] = provider->batch_id == 0 ? 'n' : ' ';
	nulls[6] = provider->failing_since == 0 ? 'n' : ' ';
	nulls[7] = provider->try_at == 0 ? 'n' : ' ';
	nulls[9] = provider->cursor == NULL ? 'n' : ' ';
	nulls[12] = provider->floor_at == 0 ? 'n' : ' ';
	nulls[13] = nulls[14] = provider->sweep_to == 0 ? 'n' : ' ';
	if (SPI_execute_with_args(psprintf(WRITE_PROVIDER, policy->quoted_schema), lengthof(types),
							  types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write a policy: %s", SPI_result_code_string(SPI_result));
}

/*
 * Nothing is left to do for a provider.
 */
void
BecomeIdle(Provider *provider)
{
	provider->state = PROVIDER_IDLE;
	provider->failing_since = provider->try_at = 0;
	provider->cursor = NULL;
	provider->at_end = false;
	provider->probed = NIL;
	provider->sweep_from = provider->sweep_to = 0;
}

/*
 * Before a policy gets the given filters: if it has other ones so far, make it idle for all
 * providers.
 */
void
ForgetPolicyProviders(Oid schema, text *policy, Jsonb *filters)
{
	Oid types[] = {TEXTOID, JSONBOID};
	Datum values[] = {PointerGetDatum(policy), JsonbPGetDatum(filters)};

	if (SPI_execute_with_args(psprintf(FORGET_PROVIDERS,
									   quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not change a policy: %s", SPI_result_code_string(SPI_result));
}

/*
 * Delete what is known of the providers of a policy that is dropped.
 */
void
DropPolicyProviders(Oid schema, text *policy)
{
	Oid type = TEXTOID;
	Datum value = PointerGetDatum(policy);

	if (SPI_execute_with_args(psprintf(DROP_PROVIDERS,
									   quote_identifier(get_namespace_name(schema))),
							  1, &type, &value, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not drop a policy: %s", SPI_result_code_string(SPI_result));
}
