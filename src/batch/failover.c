/*
 * failover.c
 *		Detecting that the most recent commits may be lost.
 *
 * After a promotion or a restore, the database continues from a point before
 * its last commit: actions that were claimed and sent then look as if they had
 * never been claimed.  So the installation records which server, on which
 * timeline and in which database, has last written it.  The first session that
 * finds another one puts the actions that may have been sent in doubt and advances
 * the sequences past all values that were used and are forgotten (NoneTwice).
 *
 * A restore can also have failed for some of the tables.  That is refused, until the
 * tables fit together: what has no row in the outbox cannot be sent, and what has
 * none in the others would be sent again.
 *
 * Actions that were not due at the last known time cannot have been claimed.  Nor can, since
 * then, those that are cancelled: who claimed one before, or gave it back, did so in a commit
 * before the cancel's or under a lease that is still there, as both lock the batch.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/fault_point.h"
#include "base/identity.h"
#include "base/installation.h"
#include "base/partition.h"
#include "base/table_access.h"
#include "batch/control_log.h"
#include "batch/failover.h"
#include "queue/action_trace.h"
#include "queue/batch_flags.h"
#include "queue/turn.h"

/* Keeps two sessions from noticing at once. */
#define FAILOVER_LOCK_CLASS 7

/* Numbers that are passed over in a sequence: more than could have been lost. */
#define LOST_NUMBERS 100000

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define PUT_IN_DOUBT \
	"UPDATE %1$s.acteon_dispatch_segment AS s SET doubt_since = $1, due_at = $1, id_refused = false," \
	"	provider_limit = NULL, tenant_limit = NULL, parked_at = NULL," \
	"	doubt = 'the database was promoted or restored, and may have forgotten that it was sent' " \
	"WHERE lease_token IS NULL AND doubt_since IS NULL AND (due_at <= $1 OR due_at = 'infinity')" \
	"	AND stopped IS DISTINCT FROM '" STOPPED_CANCELLED "' AND NOT EXISTS (" \
	"		SELECT FROM %1$s.acteon_replay_batch AS b WHERE b.id = s.batch_id AND " IS_CANCELLED( \
		"b") ")"

#define SET_SERVER \
	"WITH begun AS (INSERT INTO %1$s.acteon_replay_begun DEFAULT VALUES ON CONFLICT DO NOTHING) " \
	"UPDATE %1$s.acteon_replay_installation SET server = $1, database = $2"

/*
 * What a restore that failed for a table has left of others.  COPY restores all rows of
 * a table or none, so for rows that are many it is enough to look at both ends, of each
 * range of ids, which is in a table of its own (partition.c).  The subqueries are such
 * that each is a search in an index, whatever the statistics say.
 */
#define ENDS_OF_OUTBOX \
	"(SELECT e.* FROM generate_series(0, (SELECT max(id) / " RANGE_TEXT \
	" FROM %1$s.acteon_dispatch_outbox)) AS range (n), LATERAL (" \
	"	(SELECT id, batch_id, action_id FROM %1$s.acteon_dispatch_outbox" \
	"		WHERE id > n * " RANGE_TEXT " AND id <= (n + 1) * " RANGE_TEXT \
	" ORDER BY id LIMIT 1000) UNION ALL" \
	"	(SELECT id, batch_id, action_id FROM %1$s.acteon_dispatch_outbox" \
	"		WHERE id > n * " RANGE_TEXT " AND id <= (n + 1) * " RANGE_TEXT \
	" ORDER BY id DESC LIMIT 1000)) AS e)"

#define FIND_MISSING \
	"(SELECT format('acteon_dispatch_segment has actions %%s to %%s, which acteon_dispatch_outbox has not.'," \
	"		first_id, last_id) FROM %1$s.acteon_dispatch_segment AS s" \
	"	WHERE (SELECT o.id FROM %1$s.acteon_dispatch_outbox AS o WHERE o.id = s.first_id) IS NULL" \
	"		OR (SELECT o.id FROM %1$s.acteon_dispatch_outbox AS o WHERE o.id = s.last_id) IS NULL LIMIT 1) " \
	"UNION ALL " \
	"(SELECT format('acteon_dispatch_outbox has action %%s, which neither acteon_dispatch_segment nor" \
	" acteon_dispatch_delivery has.', o.id) FROM " ENDS_OF_OUTBOX " AS o" \
	"	WHERE (SELECT d.outbox_id FROM %1$s.acteon_dispatch_delivery AS d WHERE d.outbox_id = o.id) IS NULL" \
	"		AND (SELECT s.last_id FROM %1$s.acteon_dispatch_segment AS s WHERE s.first_id <= o.id" \
	"			ORDER BY s.first_id DESC LIMIT 1) >= o.id IS NOT TRUE LIMIT 1) " \
	"UNION ALL " \
	"(SELECT format('acteon_dispatch_outbox has action %%s of batch %%s, which acteon_replay_batch has not.'," \
	"		o.id, o.batch_id) FROM " ENDS_OF_OUTBOX " AS o" \
	"	WHERE (SELECT b.id FROM %1$s.acteon_replay_batch AS b WHERE b.id = o.batch_id) IS NULL LIMIT 1) " \
	"UNION ALL " \
	"(SELECT format('acteon_dispatch_outbox has action %%s, whose id acteon_dispatch_action has not.', o.id)" \
	"	FROM " ENDS_OF_OUTBOX \
	" AS o WHERE (SELECT k.action_id FROM %1$s.acteon_dispatch_action AS k" \
	"		WHERE k.action_id = o.action_id) IS NULL LIMIT 1) " \
	"LIMIT 1"

#define MOVE_SEQUENCES \
	"SELECT setval(s.oid, coalesce(pg_sequence_last_value(s.oid), q.seqstart) + q.seqincrement * $1) " \
	"FROM (VALUES ('" OUTBOX_SEQUENCE "'), ('" BATCH_SEQUENCE "'), ('" LOG_SEQUENCE \
	"')) AS n (name)" \
	"	JOIN pg_class AS s ON s.relname = n.name AND s.relnamespace = $2" \
	"	JOIN pg_sequence AS q ON q.seqrelid = s.oid"

/*
 * Beyond all ids that a batch had: a sequence that was not carried along may be so far
 * behind them that even the next range was used before, and purged.
 */
#define CATCH_UP \
	"SELECT setval(s.oid, b.last_id - (b.last_id - q.seqstart) %% q.seqincrement) " \
	"FROM (SELECT max(last_outbox_id) AS last_id FROM %1$s.acteon_replay_batch) AS b" \
	"	JOIN pg_class AS s ON s.relname = '" OUTBOX_SEQUENCE "' AND s.relnamespace = $1" \
	"	JOIN pg_sequence AS q ON q.seqrelid = s.oid " \
	"WHERE b.last_id > coalesce(pg_sequence_last_value(s.oid), 0)"

/* The server that this session knows to be the one that wrote last. */
static Oid known_schema = InvalidOid;
static TimeLineID known_timeline = 0;

/* The transaction that has taken note of one last; it may be rolled back. */
static TransactionId noticed_by = InvalidTransactionId;

/*
 * This server and its timeline, as the installation keeps them.
 */
static char *
this_server(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), GetWALInsertionTimeLine());
}

/*
 * Execute a statement of this file.  Needs an SPI connection.
 */
static int64
execute(const char *sql, Oid schema, int count, Oid *types, Datum *values, int expected)
{
	char *text = psprintf(sql, quote_identifier(get_namespace_name(schema)));

	if (SPI_execute_with_args(text, count, types, values, NULL, false, 0) != expected)
		elog(ERROR, "could not take note of a failover: %s", SPI_result_code_string(SPI_result));
	return SPI_processed;
}

/*
 * Write down that this server writes now, in this database.
 */
static void
set_server(Oid schema, const char *server)
{
	Oid types[] = {TEXTOID, OIDOID};
	Datum values[] = {CStringGetTextDatum(server), ObjectIdGetDatum(MyDatabaseId)};

	(void) execute(SET_SERVER, schema, lengthof(types), types, values, SPI_OK_UPDATE);
}

/*
 * Refuse a queue of which a restore has left out a part.
 */
static void
refuse_incomplete(Oid schema)
{
	SetLocally("jit", "off");
	SetLocally("enable_seqscan", "off"); /* there may be no statistics yet */
	if (execute(FIND_MISSING, schema, 0, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_BROKEN_INSTALLATION),
		 errmsg("the tables of acteon_replay were not restored completely"),
		 errdetail_internal("%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
		 errhint(
			 "Restore them again, without errors: add your own columns after CREATE EXTENSION and before the data is loaded, and load a dump of version 1.0 into that version, which is updated afterwards. acteon_outbox_check() lists what is wrong.")));
}

/*
 * Act on another place having been written last: put what may have been sent in doubt,
 * move the sequences, log it for a role.
 */
static void
begin_anew(Oid schema, Oid role, const char *before, const char *now_here)
{
	Oid time_type = TIMESTAMPTZOID;
	Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
	Oid types[] = {INT8OID, OIDOID};
	Datum values[] = {Int64GetDatum(LOST_NUMBERS), ObjectIdGetDatum(schema)};
	Oid schema_type = OIDOID;
	Datum schema_value = ObjectIdGetDatum(schema);
	LogDetails details;
	int64 segments;

	refuse_incomplete(schema);
	segments = execute(PUT_IN_DOUBT, schema, 1, &time_type, &now, SPI_OK_UPDATE);
	TraceFailover();
	FAULT_POINT("failover-doubt");
	(void) execute(CATCH_UP, schema, 1, &schema_type, &schema_value, SPI_OK_SELECT);
	/* The lost server may have gone on to another part of the outbox. */
	(void) TurnOutbox(schema, RangeInUse(schema), true);
	(void) execute(MOVE_SEQUENCES, schema, 2, types, values, SPI_OK_SELECT);
	set_server(schema, this_server());
	BeginDetails(&details);
	AddTextDetail(&details, "before", before);
	AddTextDetail(&details, "now", now_here);
	AddNumberDetail(&details, "segments", segments);
	LogControl(
		schema, role, "failover", 0,
		"the database continues after a promotion or a restore: the newest commits may be lost",
		EndDetails(&details));
	ereport(
		LOG,
		(errmsg("acteon_replay: the database continues after a promotion or a restore"),
		 errdetail(
			 "It was last written by %s and is now written by %s. Actions that may have been sent are looked up in the audit table first.",
			 before, now_here)));
}

/*
 * Whether the installation was last written where this session is.  The database is
 * not known where only the server was written down.
 */
static bool
is_here(const char *before, Oid database, const char *server)
{
	return before != NULL && strcmp(before, server) == 0 &&
		   (database == MyDatabaseId || !OidIsValid(database));
}

/*
 * Notice that another server, another timeline of it or another database has written
 * last, and act on it; for the role whose call this is.  Costs nothing once the session
 * knows.  Refuses an installation that was restored in part.
 */
void
NoticeServer(Oid schema, Oid role)
{
	Identity caller;
	LOCKTAG tag;
	char *before;
	char *server;
	Oid database;
	MemoryContext old = CurrentMemoryContext;

	if (schema == known_schema && known_timeline == GetWALInsertionTimeLine())
		return;
	server = this_server();
	if (ReadServer(schema, &before, &database) && is_here(before, database, server))
	{
		if (noticed_by != InvalidTransactionId && noticed_by == GetTopTransactionIdIfAny())
			return; /* not committed yet */
		known_schema = schema;
		known_timeline = GetWALInsertionTimeLine();
		return;
	}
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, INSTALLATION_TABLE), 0,
						 FAILOVER_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (!ReadServer(schema, &before, &database))
	{
		RefuseForgotten(schema);
		return;
	}
	if (is_here(before, database, server))
		return;
	SwitchIdentity(&caller, TableOwner(OwnTable(schema, INSTALLATION_TABLE)));
	LockForWriting(schema, WRITES_INSTALLATION | WRITES_SEGMENTS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(old);
	if (before == NULL)
	{
		/* It may also be a dump of version 1.0, which knows neither servers nor all tables. */
		refuse_incomplete(schema);
		set_server(schema, server);
	}
	else
	{
		bool same_server = strcmp(before, server) == 0;

		begin_anew(schema, role,
				   same_server ? psprintf("%s, database %u", before, database) : before,
				   same_server ? psprintf("%s, database %u", server, MyDatabaseId) : server);
	}
	SPI_finish();
	MemoryContextSwitchTo(old);
	noticed_by = GetTopTransactionId();
	CommandCounterIncrement();
	RestoreIdentity(&caller);
}
