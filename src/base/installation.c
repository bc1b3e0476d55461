/*
 * installation.c
 *		The namespace from which this installation's action ids are derived.
 *
 * CREATE EXTENSION draws a random one and makes it the default of the one
 * column of acteon_replay_installation that matters; the first replay writes
 * the row.  A dump carries the row, and a restore finds no other one in its
 * way; a failover that loses the first replay loses the row but not the
 * default.  So the ids stay the same in all cases.
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
#include "base/identity.h"
#include "base/installation.h"
#include "base/table_access.h"

/*
 * Read the namespace.  Returns false if nothing was ever replayed here.
 */
bool
ReadNamespace(Oid schema, pg_uuid_t *namespace)
{
	Relation rel = table_open(OwnTable(schema, INSTALLATION_TABLE), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	bool isnull;

	if (found)
		*namespace = *DatumGetUUIDP(slot_getattr(slot, Anum_installation_namespace, &isnull));
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Read by which server the installation was written last; NULL if that is not
 * known.  Returns false if nothing was ever replayed here.
 */
bool
ReadServer(Oid schema, char **server)
{
	Relation rel = table_open(OwnTable(schema, INSTALLATION_TABLE), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool found = RelationGetDescr(rel)->natts >= Natts_installation &&
				 table_scan_getnextslot(scan, ForwardScanDirection, slot);
	bool isnull = true;
	Datum value = (Datum) 0;

	if (found)
		value = slot_getattr(slot, Anum_installation_server, &isnull);
	*server = isnull ? NULL : TextDatumGetCString(value);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Read the namespace, and write its row before if there is none.  Needs an SPI
 * connection.
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
	sql = psprintf("INSERT INTO %s DEFAULT VALUES ON CONFLICT DO NOTHING",
				   quote_qualified_identifier(get_namespace_name(schema), INSTALLATION_TABLE));
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
