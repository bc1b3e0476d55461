/*
 * selected.c
 *		The records that a query selects and the caller may read.
 *
 * The audit table is read once, without what is in the actions.  Earlier replays are not
 * looked at: what is shown of these records is what the gateway has recorded.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "audit/audit_scan.h"
#include "base/table_access.h"
#include "preview/selected.h"
#include "replay/replay_call.h"

/*
 * Whether a record is one of those that a query asks for, by the reason for which it is
 * not replayed: of what was lost, only what is a client's own action and was lost for
 * certain, if that is asked for.
 */
bool
IsAskedFor(const ReplayQuery *query, Reason reason)
{
	return !query->lost || !(reason == REASON_CHAIN || reason == REASON_INTERNAL ||
							 reason == REASON_NOT_LOST || reason == REASON_UNCERTAIN);
}

/*
 * Let a query that has no filter select what was lost, and check it.
 */
void
SelectLostByDefault(ReplayQuery *query)
{
	if (!HasFilter(query))
		query->lost = true;
	CheckReplayQuery(query);
}

/*
 * Have those records of a window seen that the caller may read.
 */
static void
see_window(ReplayCall *call, const ReplayQuery *query, const AuditRecord *records, int count,
		   SeeRecord see, void *arg)
{
	for (int i = 0; i < count; i++)
	{
		const AuditRecord *record = &records[i];
		Effect effect;

		if (record->missing == NULL && GrantsCoverRecord(call->grants, GRANT_READ, record))
			see(arg, record, JudgeColumns(query, record, &effect));
	}
}

/*
 * Have all records seen that a query selects.  Needs an SPI connection.
 */
static void
see_records(ReplayCall *call, const ReplayQuery *query, SeeRecord see, void *arg)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	AuditScan scan;
	AuditRecord *records;
	int count;

	AuditScanBeginOutcomes(&scan, &call->audit, query);
	old = MemoryContextSwitchTo(window);
	while ((count = AuditScanTake(&scan, MAX_RECORDS_LIMIT, &records)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		see_window(call, query, records, count, see, arg);
		MemoryContextReset(window);
	}
	MemoryContextSwitchTo(old);
	AuditScanEnd(&scan);
	MemoryContextDelete(window);
}

/*
 * Have all records seen that a query, which has been checked, selects until now and that
 * the caller's grants cover, in no order.  The caller needs a grant for reading.
 */
void
SeeSelected(FunctionCallInfo fcinfo, ReplayQuery *query, SeeRecord see, void *arg)
{
	ReplayCall call;

	OpenShowingCall(&call, CalledSchema(fcinfo));
	EndQueryAt(query, call.now);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(call.context);
	see_records(&call, query, see, arg);
	SPI_finish();
	MemoryContextSwitchTo(call.context);
	CloseAuditTable(&call.audit);
}
