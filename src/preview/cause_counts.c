/*
 * cause_counts.c
 *		Why records were lost, and how many for each cause.
 *
 * A cause is a provider, an outcome and the signature of an error.  A record whose
 * cause has been met before is counted without copying anything of it.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "audit/error_text.h"
#include "base/text.h"
#include "preview/cause_counts.h"
#include "preview/selected.h"

/* Causes, and their tenants, that are told apart: memory must not grow with the rows. */
#define MAX_CAUSES 10000
#define MAX_TENANTS 1000000

/* What tells causes apart: all but the counts of a cause. */
typedef struct CauseEntry
{
	const Cause *cause;
	uint32 hash;
	char status;
} CauseEntry;

/* A tenant of a cause. */
typedef struct TenantEntry
{
	uint64 key; /* both hashed */
	char status;
} TenantEntry;

/*
 * The hash of a cause.
 */
static uint32
hash_cause(const Cause *cause)
{
	uint32 hash = hash_bytes((unsigned char *) cause->signature, cause->signature_len);

	hash = hash_combine(hash, hash_bytes((unsigned char *) VARDATA_ANY(cause->provider),
										 VARSIZE_ANY_EXHDR(cause->provider)));
	return hash_combine(hash, hash_bytes((unsigned char *) VARDATA_ANY(cause->outcome),
										 VARSIZE_ANY_EXHDR(cause->outcome)));
}

/*
 * Whether two causes are the same.
 */
static bool
same_cause(const Cause *a, const Cause *b)
{
	return a->signature_len == b->signature_len &&
		   memcmp(a->signature, b->signature, a->signature_len) == 0 &&
		   SameText(a->provider, b->provider) && SameText(a->outcome, b->outcome);
}

#define SH_PREFIX causes
#define SH_ELEMENT_TYPE CauseEntry
#define SH_KEY_TYPE const Cause *
#define SH_KEY cause
#define SH_HASH_KEY(table, key) hash_cause(key)
#define SH_EQUAL(table, a, b) same_cause(a, b)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

#define SH_PREFIX tenants
#define SH_ELEMENT_TYPE TenantEntry
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

struct CauseCounts
{
	MemoryContext context;
	const ReplayQuery *query;
	causes_hash *causes;
	tenants_hash *tenants;
	Cause *array[MAX_CAUSES];
	int64 uncounted; /* records of more causes than there is room for */
};

/*
 * Make empty counts in the current memory context, for a query that has been checked
 * and lives as long.
 */
CauseCounts *
MakeCauseCounts(const ReplayQuery *query)
{
	CauseCounts *counts = palloc0(sizeof(CauseCounts));

	counts->context = CurrentMemoryContext;
	counts->query = query;
	counts->causes = causes_create(CurrentMemoryContext, 64, NULL);
	counts->tenants = tenants_create(CurrentMemoryContext, 64, NULL);
	return counts;
}

/*
 * A copy of a text that lives as long as the counts.
 */
static text *
keep_text(CauseCounts *counts, const text *value)
{
	text *copy = MemoryContextAlloc(counts->context, VARSIZE_ANY(value));

	memcpy(copy, value, VARSIZE_ANY(value));
	return copy;
}

/*
 * The cause that is the same as this one, made if there is none yet; NULL if there are
 * too many.
 */
static Cause *
find_cause(CauseCounts *counts, const Cause *wanted)
{
	uint32 hash = hash_cause(wanted);
	CauseEntry *entry = causes_lookup_hash(counts->causes, wanted, hash);
	Cause *cause;
	bool found;

	if (entry != NULL)
		return counts->array[entry->cause->number];
	if (counts->causes->members == MAX_CAUSES)
		return NULL;
	cause = MemoryContextAllocZero(counts->context, sizeof(Cause));
	cause->provider = keep_text(counts, wanted->provider);
	cause->outcome = keep_text(counts, wanted->outcome);
	cause->signature_len = wanted->signature_len;
	cause->signature = MemoryContextAlloc(counts->context, wanted->signature_len + 1);
	memcpy(cause->signature, wanted->signature, wanted->signature_len);
	cause->signature[wanted->signature_len] = '\0';
	cause->number = counts->causes->members;
	counts->array[cause->number] = cause;
	(void) causes_insert_hash(counts->causes, cause, hash, &found);
	return cause;
}

/*
 * Compare two strings, and two texts, by their bytes.
 */
static int
compare_bytes(const char *a, int a_len, const char *b, int b_len)
{
	int order = memcmp(a, b, Min(a_len, b_len));

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_texts(const text *a, const text *b)
{
	return compare_bytes(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a), VARDATA_ANY(b),
						 VARSIZE_ANY_EXHDR(b));
}

/*
 * Keep a tenant that is new to a cause among those that are named, if it is one of the
 * first.
 */
static void
name_tenant(CauseCounts *counts, Cause *cause, const text *tenant)
{
	int place = NAMED_TENANTS;

	while (place > 0 &&
		   (cause->named[place - 1] == NULL || compare_texts(tenant, cause->named[place - 1]) < 0))
		place--;
	if (place == NAMED_TENANTS)
		return;
	memmove(&cause->named[place + 1], &cause->named[place],
			(NAMED_TENANTS - 1 - place) * sizeof(text *));
	cause->named[place] = keep_text(counts, tenant);
}

/*
 * Count the tenant of a record, unless it is one of the cause's already.
 */
static void
count_tenant(CauseCounts *counts, Cause *cause, const text *tenant)
{
	uint64 hash =
		hash_bytes_extended((unsigned char *) VARDATA_ANY(tenant), VARSIZE_ANY_EXHDR(tenant), 1);
	bool found;

	if (cause->tenants > 0 && cause->last_tenant == hash)
		return;
	cause->last_tenant = hash;
	if (counts->tenants->members >= MAX_TENANTS)
		return;
	(void) tenants_insert(counts->tenants, hash_combine64(hash, cause->number + UINT64CONST(1)),
						  &found);
	if (found)
		return;
	name_tenant(counts, cause, tenant);
	cause->tenants++;
}

/*
 * Keep the action id of a record as the sample.
 */
static void
keep_sample(CauseCounts *counts, Cause *cause, const text *action_id)
{
	Size size = VARSIZE_ANY(action_id);

	if (size > cause->sample_room)
	{
		cause->sample_room = Max(size, 40);
		cause->sample = MemoryContextAlloc(counts->context, cause->sample_room);
	}
	memcpy(cause->sample, action_id, size);
}

/*
 * Count a record, which the caller may read, by its cause.  reason is why it is not
 * replayed.  One that lacks a column, or has no error, has no cause.
 */
void
CountCause(CauseCounts *counts, const AuditRecord *record, Reason reason)
{
	char signature[SIGNATURE_BYTES];
	Cause wanted = {.provider = record->provider,
					.outcome = record->outcome,
					.signature = signature};
	Cause *cause;

	if (record->missing != NULL || !IsAskedFor(counts->query, reason))
		return;
	wanted.signature_len = SignatureOfRecord(signature, record, counts->query->rules);
	if (wanted.signature_len < 0)
		return;
	cause = find_cause(counts, &wanted);
	if (cause == NULL)
	{
		counts->uncounted++;
		return;
	}
	if (cause->matched++ == 0 || record->dispatched_at < cause->first)
		cause->first = record->dispatched_at;
	if (cause->matched == 1 || record->dispatched_at > cause->last ||
		(record->dispatched_at == cause->last &&
		 compare_texts(record->action_id, cause->sample) > 0))
	{
		cause->last = record->dispatched_at;
		keep_sample(counts, cause, record->action_id);
	}
	cause->replayable += reason == REASON_NONE;
	count_tenant(counts, cause, record->tenant);
}

/*
 * Order of causes: the most frequent first.
 */
static int
compare_causes(const void *a, const void *b)
{
	const Cause *ca = *(Cause *const *) a;
	const Cause *cb = *(Cause *const *) b;
	int order = (ca->matched < cb->matched) - (ca->matched > cb->matched);

	if (order == 0)
		order = compare_texts(ca->provider, cb->provider);
	if (order == 0)
		order = compare_texts(ca->outcome, cb->outcome);
	if (order == 0)
		order = compare_bytes(ca->signature, ca->signature_len, cb->signature, cb->signature_len);
	return order;
}

/*
 * All causes, the most frequent first; nothing can be counted afterwards.  Returns how
 * many there are.
 */
int
TopCauses(CauseCounts *counts, Cause ***causes)
{
	*causes = counts->array;
	qsort(counts->array, counts->causes->members, sizeof(Cause *), compare_causes);
	return counts->causes->members;
}

/*
 * How many records have not been counted, because there were too many causes.
 */
int64
UncountedCauses(const CauseCounts *counts)
{
	return counts->uncounted;
}
