/*
 * chain_link.c
 *		Whether records fit into the gateway's chain of hashes.
 *
 * With verify, only those are replayed that do: each must have the hash of its hashed
 * columns, and the record before it the hash that it names (audit/linked_records.c).
 * Looking for a hash takes longer than all the rest of a replay, so it is done last, for
 * what would be replayed.
 */
#include "postgres.h"

#include "audit/linked_records.h"
#include "replay/chain_link.h"

static const Reason by_fault[] = {
	[LINK_HOLDS] = REASON_NONE,
	[LINK_NO_HASH] = REASON_NO_HASH,
	[LINK_CHANGED] = REASON_HASH_MISMATCH,
	[LINK_BROKEN] = REASON_LINK_BROKEN,
};

/*
 * Why a record does not fit; REASON_NONE if it does.  Needs an SPI connection.
 */
Reason
ChainLinkReason(const AuditTable *table, const AuditRecord *record)
{
	LinkedRecord linked = {.id = record->id, .dispatched_at = record->dispatched_at};

	FindLinkFaults(table, &linked, 1);
	return by_fault[linked.fault];
}

/*
 * Find out what is wrong with the records of pending items, at most so many; *places gets
 * their places among the items.  Returns how many there are.
 */
static int
find_faults(const AuditTable *table, const ReplayItem *items, int count, int most,
			LinkedRecord **linked, int **places)
{
	int pending = 0;

	*linked = palloc(count * sizeof(LinkedRecord));
	*places = palloc(count * sizeof(int));
	for (int i = 0; i < count && pending < most; i++)
	{
		if (items[i].status != ITEM_PENDING)
			continue;
		(*places)[pending] = i;
		(*linked)[pending].id = items[i].record->id;
		(*linked)[pending++].dispatched_at = items[i].record->dispatched_at;
	}
	FindLinkFaults(table, *linked, pending);
	return pending;
}

/*
 * Fail pending items whose records do not fit, if the query wants that.  Needs an SPI
 * connection.
 */
void
JudgeChainLinks(const AuditTable *table, const ReplayQuery *query, ReplayItem *items, int count)
{
	LinkedRecord *linked;
	int *places;
	int pending;

	if (!query->requires_chain)
		return;
	pending = find_faults(table, items, count, count, &linked, &places);
	for (int i = 0; i < pending; i++)
	{
		if (linked[i].fault != LINK_HOLDS)
			SetReason(&items[places[i]], by_fault[linked[i].fault], query);
	}
}

/*
 * How many of the first pending items, at most so many of them, have records that were
 * written into the chain and do not fit.  Needs an SPI connection.
 */
int
CountBrokenLinks(const AuditTable *table, const ReplayItem *items, int count, int most)
{
	LinkedRecord *linked;
	int *places;
	int pending = find_faults(table, items, count, most, &linked, &places);
	int broken = 0;

	for (int i = 0; i < pending; i++)
		broken += linked[i].fault == LINK_CHANGED || linked[i].fault == LINK_BROKEN;
	return broken;
}
