/*
 * table_access.h
 *		The extension's own tables: how rows get in and are found.
 */
#ifndef ACTEON_TABLE_ACCESS_H
#define ACTEON_TABLE_ACCESS_H

#include "access/genam.h"
#include "access/skey.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"
#include "utils/resowner.h"

#include "base/own_table.h"

/* Which rows an index has: all, or those with a value, or without one, in a column. */
typedef struct IndexRows
{
	AttrNumber column; /* InvalidAttrNumber: all rows */
	bool null;
} IndexRows;

#define ALL_ROWS ((IndexRows){.column = InvalidAttrNumber})
#define RowsWith(attnum) ((IndexRows){.column = (attnum), .null = false})
#define RowsWithout(attnum) ((IndexRows){.column = (attnum), .null = true})

/* Tables that a call writes, in the order in which they are locked; see LockForWriting. */
enum
{
	WRITES_INSTALLATION = 1 << 0,
	WRITES_OUTBOX = 1 << 1,
	WRITES_SEGMENTS = 1 << 2,
	WRITES_BATCHES = 1 << 3,
	WRITES_DELIVERIES = 1 << 4,
	WRITES_TALLY = 1 << 5,
	WRITES_IDS = 1 << 6,
	WRITES_ANSWERS = 1 << 7,
	WRITES_LIMITS = 1 << 8,
	WRITES_REFUSED = 1 << 9,
	WRITES_LOG = 1 << 10,
	WRITES_REMOVALS = 1 << 11,
	WRITES_LINKS = 1 << 12,
	WRITES_HEAD = 1 << 13,
	WRITES_NOTIFICATIONS = 1 << 14,
	WRITES_POLICIES = 1 << 15,
	WRITES_PROVIDERS = 1 << 16,
	WRITES_RELAYS = 1 << 17,
	WRITES_ALL_PARTS = 1 << 18 /* of what is kept in parts */
};

/* What replays write. */
#define WRITES_OF_REPLAY \
	(WRITES_OUTBOX | WRITES_SEGMENTS | WRITES_BATCHES | WRITES_IDS | WRITES_REFUSED)
/* What claims, answers and steering write. */
#define WRITES_OF_QUEUE \
	(WRITES_SEGMENTS | WRITES_BATCHES | WRITES_DELIVERIES | WRITES_TALLY | WRITES_LIMITS)
/* What is written where the trail goes on, by a purge as well. */
#define WRITES_OF_TRAIL (WRITES_LOG | WRITES_REMOVALS | WRITES_LINKS | WRITES_HEAD)
/* What policies write themselves, without what their replays do. */
#define WRITES_OF_POLICIES (WRITES_POLICIES | WRITES_PROVIDERS | WRITES_BATCHES | WRITES_LIMITS)

/* Where the columns stand that an update has added; see TableColumns. */
typedef struct OwnColumns
{
	AttrNumber behind; /* the last column of the first version */
	AttrNumber by;     /* how many columns of others, or dropped ones, come between */
} OwnColumns;

/* The number of a column in the table, by its number here. */
static inline AttrNumber
ColumnPlace(OwnColumns columns, AttrNumber column)
{
	return column > columns.behind ? column + columns.by : column;
}

/* A table that is open for writing; see OpenWriter. */
typedef struct TableWriter
{
	Relation rel;
	OwnColumns columns;
	EState *estate;
	ResultRelInfo *rri;
} TableWriter;

/*
 * A table that is open for finding rows by a unique key; see OpenFinder.  Of one
 * that is kept in parts, the part that was searched last is open; see
 * OpenPartedFinder.
 */
typedef struct TableFinder
{
	Relation rel; /* NULL: none is open yet */
	OwnColumns columns;
	Relation index;
	TupleTableSlot *slot;  /* the row found last */
	IndexScanDesc kept;    /* for all searches; NULL: each makes its own */
	Snapshot kept_with;    /* NULL: none is to be kept */
	MemoryContext context; /* that the kept one lives in */
	const char *parted;    /* the table that is kept in parts; NULL: it is not */
	Oid schema;            /* where it is */
	AttrNumber column;     /* of the key */
	int partition;         /* that is open */
	MemoryContext home;    /* what the finder was opened in */
	ResourceOwner owner;
} TableFinder;

/* A table that is open for reading in the order of an index; see OpenReader. */
typedef struct TableReader
{
	Relation rel;
	OwnColumns columns;
	Relation index;
	TupleTableSlot *slot; /* for the rows */
	IndexScanDesc scan;   /* NULL: reading has not begun */
} TableReader;

extern void RefuseOlderObjects(void);
extern Oid CalledSchema(FunctionCallInfo fcinfo);
extern void LockForWriting(Oid schema, int tables);
extern bool TableColumns(Relation rel, OwnColumns *columns);
extern void OpenWriter(TableWriter *writer, Oid relid, bool changes);
extern void CloseWriter(TableWriter *writer);
extern void PutIndexFirst(TableWriter *writer, int place, AttrNumber column);
extern int PutBlockIndexFirst(TableWriter *writer, AttrNumber column);
extern bool InsertIndexEntry(TableWriter *writer, int place, Datum key, ItemPointer tid,
							 IndexUniqueCheck check);
extern void ForgetInsertions(TableWriter *writer, bool rolled_back);
extern void InsertOtherIndexEntries(TableWriter *writer, int done, TupleTableSlot *slot);
extern void CheckRow(TableWriter *writer, TupleTableSlot *slot);
extern void FillSlot(const TableWriter *writer, TupleTableSlot *slot, const Datum *values,
					 const bool *nulls, int count);
extern Relation
WriterIndex(TableWriter *writer, IndexRows rows, int columns, const AttrNumber *column);
extern void InsertSlot(TableWriter *writer, TupleTableSlot *slot);
extern void InsertSlots(TableWriter *writer, TupleTableSlot **slots, int count);
extern void InsertFrozen(TableWriter *writer, TupleTableSlot *slot);
extern void InsertRow(TableWriter *writer, const Datum *values, const bool *nulls, int count);
extern bool HoldRow(TableWriter *writer, ItemPointer tid, TupleTableSlot *slot, bool wait);
extern bool UpdateRow(TableWriter *writer, ItemPointer tid, TupleTableSlot *slot);
extern bool DeleteRow(TableWriter *writer, ItemPointer tid);
extern bool ChangeRow(TableWriter *writer, TupleTableSlot *row, int count,
					  const AttrNumber *columns, const Datum *values, const bool *nulls, bool wait);

extern void
OpenReader(TableReader *reader, Oid relid, IndexRows rows, int columns, const AttrNumber *column);
extern void BeginReading(TableReader *reader, Snapshot snapshot, ScanKey keys, int count);
extern void CloseReader(TableReader *reader);

extern void OpenFinder(TableFinder *finder, Oid relid, AttrNumber column);
extern void OpenPartedFinder(TableFinder *finder, Oid schema, const char *table, AttrNumber column);
extern void TurnFinder(TableFinder *finder, int64 key);
extern void KeepScan(TableFinder *finder, Snapshot snapshot);
extern void CloseFinder(TableFinder *finder);
extern bool FindRow(TableFinder *finder, RegProcedure equal, Datum key, Snapshot snapshot);
extern bool FindLastRow(TableFinder *finder, int64 above, int64 up_to, Snapshot snapshot);
extern Datum FoundColumn(TableFinder *finder, AttrNumber column, bool *isnull);

#endif /* ACTEON_TABLE_ACCESS_H */
