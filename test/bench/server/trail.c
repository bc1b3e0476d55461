/*
 * trail.c
 *		The hashes of rows of the outbox: a module for test/bench/trail.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "queue/row_hash.h"

#include "cpu.h"

PG_FUNCTION_INFO_V1(bench_hashes);

/*
 * bench_hashes(outbox regclass, actions integer) → double precision
 *
 * How long it takes, in microseconds, to make what enqueueing adds for the first so many
 * rows of a part of the outbox: their hashes, and that of each hundred of them.
 */
Datum
bench_hashes(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	OwnColumns columns = {.behind = MaxAttrNumber};
	int wanted = PG_GETARG_INT32(1);
	TupleTableSlot **rows = palloc(wanted * sizeof(TupleTableSlot *));
	uint8 hashes[SEGMENT_ACTIONS][ROW_HASH_BYTES];
	uint8 fold[LINK_HASH_BYTES] = {0};
	StoredHash stored;
	Digest digest;
	double begun, took;
	int count = 0;

	while (count < wanted)
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		if (!table_scan_getnextslot(scan, ForwardScanDirection, slot))
			elog(ERROR, "there are only %d actions", count);
		ExecMaterializeSlot(slot);
		slot_getallattrs(slot);
		rows[count++] = slot;
	}
	begun = CpuTime();
	OpenDigest(&digest);
	for (int i = 0; i < count; i++)
	{
		StoreHash(&digest, rows[i], columns, &stored, hashes[i % SEGMENT_ACTIONS]);
		if (i % SEGMENT_ACTIONS == SEGMENT_ACTIONS - 1)
			FoldBlock(&digest, fold, hashes[0], SEGMENT_ACTIONS);
	}
	CloseDigest(&digest);
	took = CpuTime() - begun;
	for (int i = 0; i < count; i++)
		ExecDropSingleTupleTableSlot(rows[i]);
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	PG_RETURN_FLOAT8(took);
}
