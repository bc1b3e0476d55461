/*
 * action_set.c
 *		A compact set of actions.
 *
 * A preview may read millions of records and has to know which actions it has
 * already met, so it keeps a hash of each: 9 to 18 bytes for each action.  Among
 * ten million actions, two have the same hash once in 180,000 previews, whose
 * count is then wrong by one.  The seed is random for each set, so that ids
 * which always collide cannot be constructed.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "audit/action_set.h"

/* Bits of a hash: one is left for telling whether its place in the table is taken. */
#define HASH_BITS 63

/* A place in the table. */
typedef struct ActionEntry
{
	uint64 hash : HASH_BITS;
	uint64 status : 64 - HASH_BITS;
} ActionEntry;

#define SH_PREFIX actions
#define SH_ELEMENT_TYPE ActionEntry
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Make an empty set in the current memory context.
 */
void
InitActionSet(ActionSet *set)
{
	if (!pg_strong_random(&set->seed, sizeof(set->seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random number")));
	set->actions = actions_create(CurrentMemoryContext, 512, NULL);
}

/*
 * Add a text to a hash.
 */
static uint64
add_text(uint64 hash, const text *value)
{
	return hash_bytes_extended((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							   hash);
}

/*
 * Hash of a record's action.  Another namespace or tenant may use the same id
 * for an action of its own.
 */
uint64
HashAction(const ActionSet *set, const AuditRecord *record)
{
	uint64 hash = add_text(set->seed, record->action_id);

	hash = add_text(hash, record->namespace);
	hash = add_text(hash, record->tenant);
	return hash >> (64 - HASH_BITS);
}

/*
 * Whether an action is in a set.
 */
bool
ActionSetHas(const ActionSet *set, uint64 hash)
{
	return actions_lookup(set->actions, hash) != NULL;
}

/*
 * Put an action into a set.
 */
void
ActionSetAdd(ActionSet *set, uint64 hash)
{
	bool found;

	(void) actions_insert(set->actions, hash, &found);
}
