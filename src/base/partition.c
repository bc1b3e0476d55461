/*
 * partition.c
 *		The parts in which the outbox and its deliveries are kept.
 *
 * Finished actions leave by emptying whole tables, not by deleting rows.  So the
 * outbox and the deliveries have PARTITIONS parts each: the table itself, which is
 * number 0, and tables that inherit from it.  Which part a row is in follows from the
 * id alone: ids come in ranges of RANGE_IDS, and the ranges use the parts in turn.  One
 * range is in use at a time; the sequence is moved to the next one (turn.c) when
 * its part has become large or old.
 *
 * The parts are inherited from and not partitions of a declared kind, and they
 * are the same few for ever.  So nothing is created or attached while the extension
 * is in use, pg_dump and publications know all of them, an update leaves the old
 * tables where they are, and neither locks a table that all calls use.
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "utils/fmgrprotos.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/own_table.h"
#include "base/partition.h"

/*
 * The number of the range that an id of the outbox is in.
 */
int64
RangeOfId(int64 outbox_id)
{
	return outbox_id < 1 ? 0 : (outbox_id - 1) / RANGE_IDS;
}

/*
 * The first id of a range.
 */
int64
FirstIdOfRange(int64 range)
{
	return range * RANGE_IDS + 1;
}

/*
 * The part that an id of the outbox is in.
 */
int
PartitionOfId(int64 outbox_id)
{
	return RangeOfId(outbox_id) % PARTITIONS;
}

/*
 * The range of ids that the sequence is in, read as its owner.
 */
int64
RangeInUse(Oid schema)
{
	FunctionCallInfoBaseData *call = palloc0(SizeForFunctionCallInfo(1));
	Oid sequence = OwnTable(schema, OUTBOX_SEQUENCE);
	Identity caller;
	Datum last;

	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0].value = ObjectIdGetDatum(sequence);
	SwitchIdentity(&caller, TableOwner(sequence));
	last = pg_sequence_last_value(call);
	RestoreIdentity(&caller);
	return call->isnull ? 0 : RangeOfId(DatumGetInt64(last));
}

/*
 * Name of a part of a table.
 */
const char *
PartitionName(const char *table, int partition)
{
	return partition == 0 ? table : psprintf("%s_%d", table, partition);
}

/*
 * Oid of a part of one of the extension's tables.
 */
Oid
PartitionTable(Oid schema, const char *table, int partition)
{
	char name[NAMEDATALEN];

	if (partition == 0)
		return OwnTable(schema, table);
	snprintf(name, sizeof(name), "%s_%d", table, partition);
	return OwnTable(schema, name);
}
