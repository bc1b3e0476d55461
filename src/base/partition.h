/*
 * partition.h
 *		The parts in which the outbox and its deliveries are kept.
 */
#ifndef ACTEON_PARTITION_H
#define ACTEON_PARTITION_H

/* How many there are, as sql/acteon_replay--*.sql creates them. */
#define PARTITIONS 16

/* Ids of the outbox that are kept together; a range ends behind a block of ids. */
#define RANGE_IDS INT64CONST(1000000000000)
#define RANGE_TEXT "1000000000000"

extern int64 RangeOfId(int64 outbox_id);
extern int64 FirstIdOfRange(int64 range);
extern int64 RangeInUse(Oid schema);
extern int PartitionOfId(int64 outbox_id);
extern const char *PartitionName(const char *table, int partition);
extern Oid PartitionTable(Oid schema, const char *table, int partition);

#endif /* ACTEON_PARTITION_H */
