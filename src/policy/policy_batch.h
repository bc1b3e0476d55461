/*
 * policy_batch.h
 *		The batches of a policy: what it looks for, replays and steers as its role.
 */
#ifndef ACTEON_POLICY_BATCH_H
#define ACTEON_POLICY_BATCH_H

#include "policy/policy_provider_row.h"

extern List *ListProvidersWithLosses(const Policy *policy);
extern bool AnyReplayable(const Policy *policy, const Provider *provider);
extern char *DrawPolicyProbe(const Policy *policy, const Provider *provider);
extern bool MakePolicyProbe(Policy *policy, Provider *provider, char *id, bool again);
extern void ReplayPolicyProbed(Policy *policy, Provider *provider, List *ids);
extern bool ReplayPolicyRecords(Policy *policy, Provider *provider, int limit);
extern void SteerPolicyBatch(const Policy *policy, const Provider *provider, const char *function,
							 const char *why);
extern bool PolicyStoppedIt(const Policy *policy, const Provider *provider, const char *why);

#endif /* ACTEON_POLICY_BATCH_H */
