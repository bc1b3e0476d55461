/*
 * failover.c
 *		Detecting that the most recent commits may be lost.
 *
 * After a promotion or a restore, the database continues from a point before
 * its last commit: actions that were claimed and sent then look as if they had
 * never been claimed.  So the installation records which server, on which
 * timeline, has last written it.  The first session that finds another one puts
 * the actions that may have been sent in doubt and advances the sequences past
 * all values that were used and are forgotten.
 *
 * Actions that were not due at the last known time cannot have been claimed.
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
#include "base/identity.h"
#include "base/installation.h"
#include "base/table_access.h"
#include "batch/control_log.h"
#include "batch/failover.h"

/* Keeps two sessions from noticing at once. */
#define FAILOVER_LOCK_CLASS 7

/* Numbers that are passed over in a sequence: more than could have been lost. */
#define LOST_NUMBERS 100000

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define PUT_IN_DOUBT \
	"UPDATE %1$s.acteon_dispatch_segment SET doubt_since = $1, due_at = $1, id_refused = false," \
	"	doubt = 'the database was promoted or restored, and may have forgotten that it was sent' " \
	"WHERE lease_token IS NULL AND doubt_since IS NULL AND (due_at <= $1 OR due_at = 'infinity')"

#define SET_SERVER "UPDATE %1$s.acteon_replay_installation SET server = $1"

#define MOVE_SEQUENCES \
	"SELECT setval(s.oid, coalesce(pg_sequence_last_value(s.oid), q.seqstart) + q.seqincrement * $1) " \
	"FROM (VALUES ('" OUTBOX_SEQUENCE "'), ('" BATCH_SEQUENCE "'), ('" LOG_SEQUENCE \
	"')) AS n (name)" \
	"	JOIN pg_class AS s ON s.relname = n.name AND s.relnamespace = $2" \
	"	JOIN pg_sequence AS q ON q.seqrelid = s.oid"

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
 * Write down that this server writes now.
 */
static void
set_server(Oid schema, const char *server)
{
	Oid type = TEXTOID;
	Datum value = CStringGetTextDatum(server);

	(void) execute(SET_SERVER, schema, 1, &type, &value, SPI_OK_UPDATE);
}

/*
 * Act on another server having written last: put what may have been sent in doubt,
 * move the sequences, log it for a role.
 */
static void
begin_anew(Oid schema, Oid role, const char *before, const char *server)
{
	Oid time_type = TIMESTAMPTZOID;
	Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
	Oid types[] = {INT8OID, OIDOID};
	Datum values[] = {Int64GetDatum(LOST_NUMBERS), ObjectIdGetDatum(schema)};
	LogDetails details;
	int64 segments = execute(PUT_IN_DOUBT, schema, 1, &time_type, &now, SPI_OK_UPDATE);

	(void) execute(MOVE_SEQUENCES, schema, 2, types, values, SPI_OK_SELECT);
	set_server(schema, server);
	BeginDetails(&details);
	AddTextDetail(&details, "before", before);
	AddTextDetail(&details, "now", server);
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
			 before, server)));
}

/*
 * Notice that another server, or another timeline of it, has written last, and act
 * on it; for the role whose call this is.  Costs nothing once the session knows.
 */
void
NoticeServer(Oid schema, Oid role)
{
	Identity caller;
	LOCKTAG tag;
	char *before;
	char *server;
	MemoryContext old = CurrentMemoryContext;

	if (schema == known_schema && known_timeline == GetWALInsertionTimeLine())
		return;
	server = this_server();
	if (ReadServer(schema, &before) && before != NULL && strcmp(before, server) == 0)
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
	if (!ReadServer(schema, &before) || (before != NULL && strcmp(before, server) == 0))
		return;
	SwitchIdentity(&caller, TableOwner(OwnTable(schema, INSTALLATION_TABLE)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(old);
	if (before == NULL)
		set_server(schema, server);
	else
		begin_anew(schema, role, before, server);
	SPI_finish();
	MemoryContextSwitchTo(old);
	noticed_by = GetTopTransactionId();
	CommandCounterIncrement();
	RestoreIdentity(&caller);
}
