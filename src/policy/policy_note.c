/*
 * policy_note.c
 *		What policies find out and decide.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/syscache.h"

#include "batch/control_log.h"
#include "policy/policy.h"

/*
 * Log what a policy did, and note it for the result of the run.
 */
void
NotePolicy(Policy *policy, const char *provider, int64 batch_id, const char *what)
{
	PolicyNote *note = palloc(sizeof(PolicyNote));
	bool role_is_there = SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(policy->role));
	LogDetails details;

	*note = (PolicyNote){.provider = provider, .batch_id = batch_id, .what = what};
	policy->notes = lappend(policy->notes, note);
	BeginDetails(&details);
	AddTextDetail(&details, "policy", policy->name);
	AddTextDetail(&details, "provider", provider);
	AddTextDetail(&details, "what", what);
	LogControl(policy->schema, role_is_there ? policy->role : GetSessionUserId(), "policy",
			   batch_id, policy->reason, EndDetails(&details));
}
