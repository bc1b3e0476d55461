/*
 * action_set.c
 *		A compact set of actions.
 *
 * A preview may look at millions of records and has to know which actions it
 * has met, so it keeps a hash of each: between 9 and 14 bytes an action.  Two of
 * ten million actions have the same hash once in 300,000 previews, which would
 * then be wrong by one.  The seed is drawn anew each time, so that nobody can
 * make ids of which that is true for all.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "audit/action_set.h"

#define FIRST_SIZE 1024

/* How full the slots may get, and by how much they grow then. */
#define MAX_FILL(size) ((size) / 8 * 7)
#define NEXT_SIZE(size) ((size) + (size) / 2)

/*
 * Make an empty set in the current memory context.
 */
void
InitActionSet(ActionSet *set)
{
	set->context = CurrentMemoryContext;
	if (!pg_strong_random(&set->seed, sizeof(set->seed)))
		elog(ERROR, "could not draw a random number");
	set->size = FIRST_SIZE;
	set->slots = palloc0(set->size * sizeof(uint64));
	set->count = 0;
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
	return hash == 0 ? 1 : hash;
}

/*
 * The slot in which a hash is, or would be put.
 */
static uint64
find_slot(const ActionSet *set, uint64 hash)
{
	/* The high half of the hash, scaled to the size, which is no power of two. */
	uint64 at = ((hash >> 32) * set->size) >> 32;

	while (set->slots[at] != 0 && set->slots[at] != hash)
	{
		if (++at == set->size)
			at = 0;
	}
	return at;
}

/*
 * Whether an action is in a set.
 */
bool
ActionSetHas(const ActionSet *set, uint64 hash)
{
	return set->slots[find_slot(set, hash)] != 0;
}

/*
 * Make a set larger.
 */
static void
grow(ActionSet *set)
{
	uint64 *old = set->slots;
	uint64 old_size = set->size;

	set->size = NEXT_SIZE(set->size);
	set->slots = MemoryContextAllocExtended(set->context, set->size * sizeof(uint64),
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 i = 0; i < old_size; i++)
	{
		if (old[i] != 0)
			set->slots[find_slot(set, old[i])] = old[i];
	}
	pfree(old);
}

/*
 * Put an action into a set.
 */
void
ActionSetAdd(ActionSet *set, uint64 hash)
{
	uint64 slot = find_slot(set, hash);

	if (set->slots[slot] != 0)
		return;
	set->slots[slot] = hash;
	if (++set->count >= MAX_FILL(set->size))
		grow(set);
}
