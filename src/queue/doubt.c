/*
 * doubt.c
 *		What being in doubt is: a segment that may have been sent and has no answer.
 *
 * How a doubt comes and goes, as far as the segment is concerned.  resolve_doubt.c
 * asks the audit table and decides.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "queue/doubt.h"

/* Bytes of the text that says why an action is in doubt. */
#define MAX_WHY 500

/*
 * Put a segment in doubt, since a time and for a reason: it is no longer
 * leased, and is looked up in the audit table at look_at.  It is then unknown
 * what the gateway may answer to its id, unless the caller knows better.
 */
void
MakeDoubt(Segment *segment, TimestampTz since, const char *why, TimestampTz look_at)
{
	int len = pg_mbcliplen(why, strlen(why), MAX_WHY);

	segment->lease_token = NO_LEASE;
	segment->holder = NULL;
	segment->id_refused = false;
	segment->doubt_since = since;
	segment->doubt = cstring_to_text_with_len(why, len);
	segment->held = NULL;
	segment->due_at = look_at;
}

/*
 * Hold a doubt until a person decides, or a record appears.
 */
void
HoldDoubt(Segment *segment, const char *why)
{
	segment->held = cstring_to_text(why);
}

/*
 * Have an action go out under a new id: the end of a doubt (NoIdTwice).  What happened
 * to the ids before does not count for it any more.
 */
void
RenewId(Segment *segment, TimestampTz due)
{
	segment->lease_token = NO_LEASE;
	segment->holder = NULL;
	segment->resend++;
	segment->sent_at = 0;
	segment->id_refused = false;
	segment->doubt_since = 0;
	segment->doubt = segment->held = NULL;
	segment->due_at = due;
}

/*
 * Put an action off that the gateway was not ready to execute: it goes out again,
 * under a new id, as the old one is recorded.  It keeps the time from which on it is
 * put off.
 */
void
DeferAction(Segment *segment, TimestampTz due, TimestampTz now)
{
	TimestampTz sent_at = segment->sent_at;

	RenewId(segment, DueAgain(segment, due, now));
	segment->sent_at = sent_at;
}

/*
 * Whether the audit table must be asked about a segment that is due before its
 * actions may go out: it is in doubt, or its lease has run out; or an earlier id
 * was given up without proof, and this is not the call that has just asked.
 */
bool
NeedsLook(const Segment *segment, TimestampTz now)
{
	return segment->doubt_since != 0 || segment->lease_token != NO_LEASE ||
		   (segment->unproven && segment->due_at != now);
}
