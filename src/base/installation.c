/*
 * installation.c
 *		The namespace from which this installation's action ids are derived.
 *
 * CREATE EXTENSION draws a random one and makes it the default of the one
 * column of acteon_replay_installation that matters; the first replay writes
 * the row.  A dump carries the row, and a restore finds no other one in its
 * way; a failover that loses the first replay loses the row but not the
 * default.  So the ids stay the same in all cases.
 *
 * A dump that lacks the row would let a restored database replay everything
 * again under new ids.  So acteon_replay_begun has a row from the same moment on,
 * in a table without row-level security, which no dump leaves out in silence.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/error_reason.h"
#include "base/identity.h"
#include "base/installation.h"
#include "base/table_access.h"

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define WRITE_NAMESPACE \
	"WITH namespace AS (" \
	"	INSERT INTO %1$s.acteon_replay_installation DEFAULT VALUES ON CONFLICT DO NOTHING) " \
	"INSERT INTO %1$s.acteon_replay_begun DEFAULT VALUES ON CONFLICT DO NOTHING"

/* The first row of a table, as it is now. */
typedef struct FirstRow
{
	Relation rel;
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool found;
} FirstRow;

/*
 * Read the first row of one of the extension's tables, until close_first.
 */
static void
open_first(FirstRow *row, Oid schema, const char *table)
{
	row->rel = table_open(OwnTable(schema, table), AccessShareLock);
	row->slot = table_slot_create(row->rel, NULL);
	row->snapshot = RegisterSnapshot(GetLatestSnapshot());
	row->scan = table_beginscan(row->rel, row->snapshot, 0, NULL);
	row->found = table_scan_getnextslot(row->scan, ForwardScanDirection, row->slot);
}

static void
close_first(FirstRow *row)
{
	table_endscan(row->scan);
	UnregisterSnapshot(row->snapshot);
	ExecDropSingleTupleTableSlot(row->slot);
	table_close(row->rel, AccessShareLock);
}

/*
 * Read the namespace.  Returns false if nothing was ever replayed here.
 */
bool
ReadNamespace(Oid schema, pg_uuid_t *namespace)
{
	FirstRow row;
	bool isnull;

	open_first(&row, schema, INSTALLATION_TABLE);
	if (row.found)
		*namespace = *DatumGetUUIDP(slot_getattr(row.slot, Anum_installation_namespace, &isnull));
	close_first(&row);
	return row.found;
}

/*
 * Read by which server, and in which database of it, the installation was written
 * last; NULL and InvalidOid if that is not known.  Returns false if nothing was ever
 * replayed here.
 */
bool
ReadServer(Oid schema, char **server, Oid *database)
{
	FirstRow row;
	OwnColumns columns;
	bool isnull = true;
	Datum value = (Datum) 0;

	open_first(&row, schema, INSTALLATION_TABLE);
	row.found = TableColumns(row.rel, &columns) && row.found;
	if (row.found)
		value = slot_getattr(row.slot, ColumnPlace(columns, Anum_installation_server), &isnull);
	*server = isnull ? NULL : TextDatumGetCString(value);
	isnull = true;
	if (row.found)
		value = slot_getattr(row.slot, ColumnPlace(columns, Anum_installation_database), &isnull);
	*database = isnull ? InvalidOid : DatumGetObjectId(value);
	close_first(&row);
	return row.found;
}

/*
 * The outbox id from which on rows have a hash: those before are of version 1.0.
 */
int64
FirstHashedId(Oid schema)
{
	FirstRow row;
	bool isnull;
	int64 id = 1;

	open_first(&row, schema, TRAIL_HEAD_TABLE);
	if (row.found)
		id = DatumGetInt64(slot_getattr(row.slot, Anum_trail_head_hashed_from, &isnull));
	close_first(&row);
	return id;
}

/*
 * Whether one of the extension's tables has a row.
 */
static bool
has_rows(Oid schema, const char *table)
{
	FirstRow row;

	open_first(&row, schema, table);
	close_first(&row);
	return row.found;
}

/*
 * Refuse to begin where there is no namespace although there was one: what was
 * replayed before would be replayed again under other ids.
 */
void
RefuseForgotten(Oid schema)
{
	static const char *const evidence[] = {BEGUN_TABLE, OUTBOX_TABLE, SEGMENT_TABLE, ACTION_TABLE};

	for (int i = 0; i < lengthof(evidence); i++)
	{
		if (has_rows(schema, evidence[i]))
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errreason(CODE_BROKEN_INSTALLATION),
				 errmsg("the ids of earlier replays are lost: \"%s\" is empty", INSTALLATION_TABLE),
				 errdetail("\"%s\" shows that there were replays, which would be made again.",
						   evidence[i]),
				 errhint(
					 "Restore a complete dump: one by a superuser or a member of pg_read_all_data, and without errors. See \"Dump, restore, promotion\" in doc/operations.md.")));
	}
}

/*
 * Read the namespace, and write its row before if there is none and never was.
 * Needs an SPI connection.
 */
void
EnsureNamespace(Oid schema, pg_uuid_t *namespace)
{
	Oid relid = OwnTable(schema, INSTALLATION_TABLE);
	MemoryContext old = CurrentMemoryContext;
	Identity caller;
	char *sql;

	if (ReadNamespace(schema, namespace))
		return;
	RefuseForgotten(schema);
	sql = psprintf(WRITE_NAMESPACE, quote_identifier(get_namespace_name(schema)));
	LockForWriting(schema, WRITES_INSTALLATION);
	SwitchIdentity(&caller, TableOwner(relid));
	if (SPI_execute(sql, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write %s: %s", INSTALLATION_TABLE,
			 SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	CommandCounterIncrement();
	if (!ReadNamespace(schema, namespace))
		elog(ERROR, "%s is empty", INSTALLATION_TABLE);
}
