/*
 * held.c
 *		What the relay has claimed and not sent yet, and the leases on it.
 */
#include "relay/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/*
 * The lease with a token, a new one if need be.
 */
Lease *
HeldLease(Held *held, int64_t token, int64_t until)
{
	Lease *lease;

	for (lease = held->leases; lease != NULL; lease = lease->next)
	{
		if (lease->token == token)
			return lease;
	}
	lease = Allocate(sizeof(Lease));
	lease->token = token;
	lease->until = until;
	lease->next = held->leases;
	held->leases = lease;
	return lease;
}

/*
 * Add an action that was claimed, with the id that its body has, or "" if that is
 * not known, and return it.
 */
Action *
HeldAdd(Held *held, Lease *lease, int64_t outbox_id, int attempt, const char *action_id,
		const char *body, size_t len)
{
	Action *action = Reallocate(NULL, sizeof(Action) + len + 1);

	*action = (Action){.lease = lease,
					   .outbox_id = outbox_id,
					   .attempt = attempt,
					   .expires_at = NEVER,
					   .len = len};
	snprintf(action->action_id, sizeof(action->action_id), "%s", action_id);
	memcpy(action->body, body, len);
	action->body[len] = '\0';
	lease->users++;
	if (held->last != NULL)
		held->last->next = action;
	else
		held->first = action;
	held->last = action;
	held->unsent++;
	held->unsent_bytes += len;
	return action;
}

/*
 * Take the oldest unsent action out, or NULL.
 */
Action *
HeldTake(Held *held)
{
	Action *action = held->first;

	if (action == NULL)
		return NULL;
	held->first = action->next;
	if (held->first == NULL)
		held->last = NULL;
	action->next = NULL;
	held->unsent--;
	held->unsent_bytes -= action->len;
	return action;
}

/*
 * Forget a lease, if nobody needs it any more.
 */
static void
drop_lease(Held *held, Lease *lease)
{
	if (lease->users > 0 || lease->results > 0)
		return;
	for (Lease **link = &held->leases; *link != NULL; link = &(*link)->next)
	{
		if (*link == lease)
		{
			*link = lease->next;
			break;
		}
	}
	free(lease);
}

/*
 * Nobody needs an action any more that was taken out; nor its lease, after the
 * last one.
 */
void
HeldRelease(Held *held, Action *action)
{
	Lease *lease = action->lease;

	lease->users--;
	drop_lease(held, lease);
	BufferWipe(&action->opened);
	free(action->facts);
	BufferFree(&action->trace.state);
	free(action);
}

/*
 * The same, but the lease is needed until the result is recorded: else the database
 * would have to find out by itself what became of the action.
 */
void
HeldConclude(Held *held, Action *action)
{
	action->lease->results++;
	HeldRelease(held, action);
}

/*
 * A result under a lease has been recorded.
 */
void
HeldRecorded(Held *held, int64_t token)
{
	for (Lease *lease = held->leases; lease != NULL; lease = lease->next)
	{
		if (lease->token == token && lease->results > 0)
		{
			lease->results--;
			drop_lease(held, lease);
			return;
		}
	}
}

/*
 * When the first of the leases ends that are not lost and can be extended now;
 * *wake is brought forward to when others can.
 */
int64_t
HeldEarliestEnd(const Held *held, int64_t now, int64_t *wake)
{
	int64_t end = NEVER;

	for (const Lease *lease = held->leases; lease != NULL; lease = lease->next)
	{
		if (lease->lost)
			continue;
		if (now < lease->extend_from)
			*wake = Earlier(*wake, lease->extend_from);
		else
			end = Earlier(end, lease->until);
	}
	return end;
}

/*
 * Choose the leases that are to be extended in one go.  Returns how many.
 */
int
HeldAskFor(Held *held, int most, int64_t now)
{
	int count = 0;

	for (Lease *lease = held->leases; lease != NULL; lease = lease->next)
	{
		lease->asked = !lease->lost && now >= lease->extend_from && count < most;
		count += lease->asked ? 1 : 0;
	}
	return count;
}

/*
 * Those that were chosen could not be extended: others are first now.
 */
void
HeldPutOff(Held *held, int64_t from)
{
	for (Lease *lease = held->leases; lease != NULL; lease = lease->next)
	{
		if (lease->asked)
			lease->extend_from = from;
	}
}

/*
 * Give everything back that was not taken out, and the leases of what has not been
 * recorded.
 */
void
HeldFree(Held *held)
{
	Action *action;

	while ((action = HeldTake(held)) != NULL)
		HeldRelease(held, action);
	for (Lease *next, *lease = held->leases; lease != NULL; lease = next)
	{
		next = lease->next;
		lease->results = 0;
		drop_lease(held, lease);
	}
}
