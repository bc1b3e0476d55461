/*
 * policy_provider.c
 *		What a policy does for each provider.
 *
 * When something that a provider lost can be replayed, the policy probes: it replays one
 * action.  As long as probes fail, the provider does not work, and the next one follows
 * after probe_every.  An action that takes effect shows that it works again; then the rest
 * is replayed, batch by batch, the next one when the one before has ended.  So a policy has
 * never more than one batch at a time for a provider, which is at most BATCH_SECONDS long.
 *
 * If more than half of a batch fails, or it pauses itself, the provider has failed again:
 * the batch is cancelled, and the next probe follows after a back-off that doubles until a
 * batch succeeds.
 *
 * Failed probes make replays of replays.  At most MAX_PROBED actions serve as probes, in
 * turn, and after a recovery they are replayed last, without the limits max_depth and
 * max_generation; so an outage of whatever length costs no action.  A probe that the
 * provider rejected for good (the gateway's answer says that trying again is useless) says
 * nothing about the provider: another action is tried, and the limits hold.  What failed
 * without an attempt, as for a provider that the gateway does not know, nobody rejected.
 *
 * What a person has paused is waited for, and what a person has cancelled is left alone:
 * later batches have only records that are newer than that.  It is the same if that was a
 * part of a batch only: the rest of it goes on, but nothing else is replayed that could
 * belong to the same part.  A batch that was handed over is not steered any more.
 *
 * State is in the table acteon_replay_policy_provider (policy_provider_row.c), whose rows are
 * read and written as the owner of the tables; batches are made and steered as the policy's
 * role (policy_batch.c).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "batch/limit_set.h"
#include "batch/provider_breaker.h"
#include "policy/policy_batch.h"
#include "query/query.h"

/* How long a batch takes at the policy's rate, at most. */
#define BATCH_SECONDS 60

/* Without a rate, or if it is short, a batch has so many records that are read at most. */
#define BATCH_RECORDS MAX_RECORDS_LIMIT

/* Windows of records with nothing that can be replayed that one run gets past. */
#define MAX_WINDOWS 20

/* Actions that serve as probes. */
#define MAX_PROBED 10

/* How long nothing is tried after a batch has failed: at first, and at most. */
#define FIRST_BACKOFF (10 * USECS_PER_SEC)
#define LONGEST_BACKOFF (10 * USECS_PER_MINUTE)

/* A probe may be early by one part in so many of probe_every. */
#define EARLY_PARTS 10

/* Why the policy pauses and cancels its batches; a person's reason is another one. */
#define QUIET_HOURS "quiet hours"
#define FAILED_AGAIN "the provider failed again"

/* A look at everything that is lost may take one part in so many of the time. */
#define LOOK_PARTS 20

/*
 * How many actions the policy may replay at the moment: for so long as a batch lasts, and
 * until the hours become quiet, at its rate; and up to its number a day.
 */
static int
allowance(const Policy *policy)
{
	int seconds = 0;
	double most = BATCH_RECORDS;

	if (policy->is_quiet)
		return 0;
	while (seconds < BATCH_SECONDS &&
		   !IsQuiet(&policy->quiet, policy->now + (seconds + 2 * RUN_SECONDS) * USECS_PER_SEC))
		seconds += RUN_SECONDS;
	seconds = Max(seconds, 1);
	if (policy->rate != NULL)
		most = Min(most, Max(1, RateValue(policy->rate) * seconds));
	if (policy->max_a_day > 0)
		most = Min(most, policy->max_a_day - policy->day_actions);
	return (int) Max(most, 0);
}

/*
 * Probe: replay one action.  The first times a new one each, then those in turn.
 */
static void
probe(Policy *policy, Provider *provider)
{
	char *id = NULL;
	bool again;

	if (list_length(provider->probed) < MAX_PROBED)
		id = DrawPolicyProbe(policy, provider);
	again = id == NULL && provider->probed != NIL;
	if (again)
	{
		id = linitial(provider->probed);
		provider->probed = list_delete_first(provider->probed);
	}
	if (id == NULL)
	{
		BecomeIdle(provider);
		return;
	}
	/* If it was replayed otherwise meanwhile, the next run tries another one. */
	provider->try_at =
		MakePolicyProbe(policy, provider, id, again) ? policy->now + policy->probe_every : 0;
	provider->cursor = NULL;
}

/*
 * Replay the actions that were probes, as many as may be, once, when all others have been
 * replayed: if there is one among them that always fails, it must not stop the others.
 */
static void
replay_probed(Policy *policy, Provider *provider)
{
	int count = Min(allowance(policy), list_length(provider->probed));
	List *ids = NIL;

	for (; count > 0; count--)
	{
		ids = lappend(ids, linitial(provider->probed));
		provider->probed = list_delete_first(provider->probed);
	}
	ReplayPolicyProbed(policy, provider, ids);
	provider->cursor = NULL;
}

/*
 * Replay the next records of the sweep; returns whether there is a batch now.
 */
static bool
replay_records(Policy *policy, Provider *provider)
{
	bool made = ReplayPolicyRecords(policy, provider, allowance(policy));

	provider->at_end = provider->cursor == NULL;
	return made;
}

/*
 * Replay the next batch.
 */
static void
replay_next(Policy *policy, Provider *provider)
{
	for (int window = 0; window < MAX_WINDOWS && !provider->at_end; window++)
	{
		if (replay_records(policy, provider))
			return;
	}
	if (!provider->at_end)
		return;
	if (provider->probed != NIL)
		replay_probed(policy, provider);
	if (provider->batch_id == 0 && provider->probed == NIL)
	{
		BecomeIdle(provider);
		policy->look_at = 0;
	}
}

/*
 * The provider has failed again: try later, the longer the more often in a row.
 */
static void
fail_again(Policy *policy, Provider *provider, const char *why)
{
	int64 backoff = FIRST_BACKOFF;

	for (int i = 0; i < provider->failures && backoff < LONGEST_BACKOFF; i++)
		backoff *= 2;
	provider->failures++;
	provider->state = PROVIDER_PROBING;
	provider->failing_since = policy->now;
	provider->try_at = policy->now + Min(backoff, LONGEST_BACKOFF);
	provider->cursor = NULL;
	provider->at_end = false;
	provider->sweep_from = provider->sweep_to = 0;
	NotePolicy(policy, provider->name, provider->batch_id,
			   psprintf("stopped, as the provider failed again: %s", why));
}

/*
 * Judge a probe that has ended.
 */
static void
judge_probe(Policy *policy, Provider *provider)
{
	/* The policy has got other filters since. */
	if (strcmp(provider->state, PROVIDER_IDLE) == 0)
		return;
	if (provider->done > 0)
	{
		provider->state = PROVIDER_REPLAYING;
		provider->try_at = 0;
		provider->failing_since = 0;
		provider->sweep_from = Max(policy->from.time, provider->floor_at);
		provider->sweep_to = policy->now;
		NotePolicy(policy, provider->name, provider->batch_id, "a probe took effect: replaying");
		return;
	}
	if (provider->failed == 0 || provider->is_rejected)
		return;
	if (provider->probe_id != NULL)
		provider->probed = lappend(provider->probed, unconstify(char *, provider->probe_id));
	if (provider->failing_since == 0)
	{
		provider->failing_since = policy->now;
		NotePolicy(policy, provider->name, provider->batch_id, "a probe failed: probing");
	}
	else if (provider->failing_since < policy->now - policy->max_age)
	{
		BecomeIdle(provider);
		NotePolicy(policy, provider->name, provider->batch_id,
				   "gave up, as probes have failed for longer than max_age");
	}
}

/*
 * Judge a batch that has ended.
 */
static void
judge_batch(Policy *policy, Provider *provider)
{
	if (provider->failed > 0 && provider->failed * 2 > provider->ended)
		fail_again(policy, provider,
				   psprintf(INT64_FORMAT " of " INT64_FORMAT " actions failed", provider->failed,
							provider->ended));
	else
		provider->failures = 0;
}

/*
 * Let the open circuit breaker of a provider, which holds the probe, hand out its next
 * trial as soon as a probe would have followed: what it hands out is a probe as well.  It
 * holds the batches of all roles, so only a policy whose role may limit the provider does so.
 */
static void
hasten_trial(const Policy *policy, const Provider *provider)
{
	const text *name =
		cstring_to_text(policy->override != NULL ? policy->override : provider->name);

	if (MayLimit(LoadGrants(policy->role, policy->schema), LIMIT_PROVIDER, name))
		HastenTrial(policy->schema, name, policy->now + policy->probe_every);
}

/*
 * Stop the batch for good, as the provider has failed again.
 */
static void
give_batch_up(Policy *policy, Provider *provider, const char *why)
{
	fail_again(policy, provider, why);
	SteerPolicyBatch(policy, provider, "acteon_replay_cancel", FAILED_AGAIN);
	provider->is_ours = true;
}

/*
 * Leave alone what a person has cancelled, at the given time: it is not replayed again.
 */
static void
leave_alone(Policy *policy, Provider *provider, TimestampTz cancelled_at, const char *what)
{
	BecomeIdle(provider);
	provider->floor_at = Max(provider->floor_at, cancelled_at);
	NotePolicy(policy, provider->name, provider->batch_id, what);
}

/*
 * The same for a part of the batch.
 */
static void
leave_part_alone(Policy *policy, Provider *provider)
{
	leave_alone(policy, provider, provider->part_cancelled_at,
				"a part of its batch was cancelled: only later records are replayed");
}

/*
 * Look at the batch that is under way.  Returns whether it is over, and the next step can
 * follow.
 */
static bool
end_batch(Policy *policy, Provider *provider)
{
	if (provider->is_handed_over && !provider->is_cancelled &&
		(provider->is_paused || provider->has_waiting))
	{
		provider->is_ours = false;
		return false;
	}
	if (provider->is_paused)
	{
		if (!provider->by_person)
			give_batch_up(policy, provider,
						  provider->stop_reason != NULL ? provider->stop_reason
														: "its batch paused");
		else if (!PolicyStoppedIt(policy, provider, QUIET_HOURS))
			provider->is_ours = false;
		else if (!policy->is_quiet)
		{
			SteerPolicyBatch(policy, provider, "acteon_replay_resume", "quiet hours are over");
			provider->is_ours = false;
		}
		return false;
	}
	if (provider->is_cancelled)
	{
		if (provider->is_out)
			return false;
		if (!PolicyStoppedIt(policy, provider, FAILED_AGAIN))
			leave_alone(policy, provider, policy->now,
						"its batch was cancelled: only later records are replayed");
		else if (provider->part_cancelled_at != 0)
			leave_part_alone(policy, provider);
	}
	else if (provider->has_waiting)
	{
		if (!policy->is_quiet)
			provider->is_ours = false;
		else if (!provider->is_ours)
		{
			SteerPolicyBatch(policy, provider, "acteon_replay_pause", QUIET_HOURS);
			provider->is_ours = true;
			return false;
		}
		if (provider->breaker_is_open && provider->is_probe)
			hasten_trial(policy, provider);
		else if (provider->breaker_is_open)
			give_batch_up(policy, provider, "the circuit breaker of the provider opened");
		return false;
	}
	else if (provider->part_cancelled_at != 0)
		leave_part_alone(policy, provider);
	else if (provider->is_probe)
		judge_probe(policy, provider);
	else
		judge_batch(policy, provider);
	provider->batch_id = 0;
	provider->is_ours = false;
	return true;
}

/*
 * Take the next step for a provider, if it is due.
 */
static void
take_step(Policy *policy, Provider *provider)
{
	if (provider->batch_id != 0 && !end_batch(policy, provider))
		return;
	if (policy->provider != NULL && strcmp(policy->provider, provider->name) != 0)
	{
		/* Of earlier filters: nothing more of it is replayed. */
		BecomeIdle(provider);
		return;
	}
	if (allowance(policy) < 1)
		return;
	/* Runs do not come exactly in time: one that is early must not cost another interval. */
	if (strcmp(provider->state, PROVIDER_PROBING) == 0 &&
		provider->try_at <= policy->now + policy->probe_every / EARLY_PARTS)
		probe(policy, provider);
	else if (strcmp(provider->state, PROVIDER_REPLAYING) == 0)
		replay_next(policy, provider);
}

/*
 * Find a provider by its name; a new one if the policy does not know it yet.
 */
static Provider *
find_provider(List **providers, const char *name)
{
	Provider *provider;
	ListCell *lc;

	foreach (lc, *providers)
	{
		provider = lfirst(lc);
		if (strcmp(provider->name, name) == 0)
			return provider;
	}
	provider = palloc0(sizeof(Provider));
	provider->name = name;
	provider->state = PROVIDER_IDLE;
	*providers = lappend(*providers, provider);
	return provider;
}

/*
 * Whether anything of a provider can be replayed since what a person has cancelled.
 */
static bool
has_more(const Policy *policy, const Provider *provider)
{
	return provider->floor_at == 0 || provider->floor_at < policy->from.time ||
		   AnyReplayable(policy, provider);
}

/*
 * Look at everything that is lost, and begin to probe the providers of what can be
 * replayed.
 */
static void
look_for_lost(Policy *policy, List **providers)
{
	ListCell *lc;

	foreach (lc, ListProvidersWithLosses(policy))
	{
		Provider *provider = find_provider(providers, lfirst(lc));

		if (strcmp(provider->state, PROVIDER_IDLE) == 0 && provider->batch_id == 0 &&
			has_more(policy, provider))
			provider->state = PROVIDER_PROBING;
	}
	policy->look_at =
		policy->now + Max(policy->probe_every, LOOK_PARTS * (GetCurrentTimestamp() - policy->now));
}

/*
 * Take the steps of a policy that are due.
 */
void
RunPolicyProviders(Policy *policy)
{
	List *providers = ReadPolicyProviders(policy);
	ListCell *lc;

	foreach (lc, providers)
		take_step(policy, lfirst(lc));
	if (policy->look_at <= policy->now && allowance(policy) > 0)
	{
		look_for_lost(policy, &providers);
		foreach (lc, providers)
		{
			Provider *provider = lfirst(lc);

			if (strcmp(provider->state, PROVIDER_PROBING) == 0 && provider->batch_id == 0)
				take_step(policy, provider);
		}
	}
	foreach (lc, providers)
		WritePolicyProvider(policy, lfirst(lc));
}
