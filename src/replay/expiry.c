/*
 * expiry.c
 *		When an action is of no use any more.
 *
 * An action expires at the earlier of two times.  One is that of the query: expire_after,
 * counted from the time at which the gateway received the action, as its record says, and
 * not from the time of the replay: a code to log in with is useless an hour after it was
 * wanted, whenever it is replayed.  The other is that of the action itself: its ends_at.  An
 * ends_at that had passed when the action was dispatched says of an event that it is over,
 * which the action reports; such an action is as useful as ever.
 *
 * What has expired when a replay begins is passed over.  What expires while it waits ends
 * when a consumer would get it (queue/expire.c).
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/timestamp.h"

#include "replay/expiry.h"
#include "replay/reconstruct.h"

/*
 * When the action of a record expires by a query, given the action's ends_at.
 */
OptionalTime
ActionExpiry(const ReplayQuery *query, const AuditRecord *record, const OptionalTime *ends_at)
{
	OptionalTime expiry = {false};

	if (query->expire_after_value > 0)
	{
		expiry.given = !TIMESTAMP_IS_NOEND(record->dispatched_at);
		if (TIMESTAMP_IS_NOBEGIN(record->dispatched_at))
			expiry.time = DT_NOBEGIN;
		else if (pg_add_s64_overflow(record->dispatched_at, query->expire_after_value,
									 &expiry.time) ||
				 !IS_VALID_TIMESTAMP(expiry.time))
			expiry.given = false;
	}
	if (ends_at->given && !query->allow_ended && ends_at->time > record->dispatched_at &&
		(!expiry.given || ends_at->time < expiry.time))
		expiry = *ends_at;
	return expiry;
}

/*
 * When the action of a record expires by a query.  Reads the record's metadata.
 */
OptionalTime
RecordExpiry(const ReplayQuery *query, const AuditRecord *record)
{
	OptionalTime ends_at = {false};

	if (!query->allow_ended)
		ends_at = RecordEndsAt(record);
	return ActionExpiry(query, record, &ends_at);
}

/*
 * Whether a record is too old for a query, as it was when the query was checked, whatever
 * its action says.
 */
bool
IsTooOld(const ReplayQuery *query, const AuditRecord *record)
{
	const OptionalTime none = {false};
	OptionalTime expiry;

	if (query->expire_after_value == 0)
		return false;
	expiry = ActionExpiry(query, record, &none);
	return expiry.given && expiry.time <= query->checked_at;
}

/*
 * Whether the action of a record had expired by a query when that was checked.  Reads the
 * record's metadata.
 */
bool
HasExpired(const ReplayQuery *query, const AuditRecord *record)
{
	OptionalTime expiry = RecordExpiry(query, record);

	return expiry.given && expiry.time <= query->checked_at;
}
