/*
 * policy_provider_row.h
 *		The rows of acteon_replay_policy_provider: how it is with a provider.
 */
#ifndef ACTEON_POLICY_PROVIDER_ROW_H
#define ACTEON_POLICY_PROVIDER_ROW_H

#include "policy/policy.h"

/* What a policy is about to do for a provider. */
#define PROVIDER_IDLE "idle"           /* nothing: nothing is lost */
#define PROVIDER_PROBING "probing"     /* it finds out whether the provider works */
#define PROVIDER_REPLAYING "replaying" /* the provider works */

/* What is done for a provider, and the batch that was made last, if it has not been judged. */
typedef struct Provider
{
	const char *name;
	const char *state; /* PROVIDER_… */
	int64 batch_id;    /* 0: none */
	bool is_probe;
	bool is_ours;              /* the policy has paused or cancelled it */
	TimestampTz failing_since; /* 0: it works, as far as is known */
	TimestampTz try_at;        /* of the next probe; 0: at once */
	int failures;              /* batches that failed in a row */
	const char *cursor;        /* where the next batch continues; NULL: at the beginning */
	bool at_end;               /* there is no next batch */
	List *probed;              /* ids of failed probes, char * */
	TimestampTz floor_at;      /* only later records; 0: all */
	TimestampTz sweep_from;    /* since the recovery, records from this time */
	TimestampTz sweep_to;      /* up to this one */
	/* What is read of the batch. */
	bool is_paused;
	bool is_cancelled;
	bool by_person; /* a role has stopped it, not its circuit breaker or canary */
	const char *stop_reason;
	int64 ended;      /* actions of it, without what was cancelled or expired */
	bool has_waiting; /* something of it waits or is out */
	bool is_out;      /* something of it is out, or in doubt */
	int64 failed;
	int64 done;                    /* took effect, or will */
	bool is_rejected;              /* a probe: the provider will never take it */
	const char *probe_id;          /* id of its action */
	bool breaker_is_open;          /* the circuit breaker of the provider that its actions go to */
	bool is_handed_over;           /* the batch, to another role */
	TimestampTz part_cancelled_at; /* when a person last cancelled a part of it; 0: none */
} Provider;

extern List *ReadPolicyProviders(const Policy *policy);
extern void WritePolicyProvider(const Policy *policy, const Provider *provider);
extern void BecomeIdle(Provider *provider);
extern void ForgetPolicyProviders(Oid schema, text *policy, Jsonb *filters);
extern void DropPolicyProviders(Oid schema, text *policy);

#endif /* ACTEON_POLICY_PROVIDER_ROW_H */
