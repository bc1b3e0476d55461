/*
 * value_counts.c
 *		How many records have which value.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "base/text.h"
#include "base/value_counts.h"

/* Values that are told apart: memory must not grow with the rows. */
#define MAX_VALUES 10000

/*
 * Make empty counts in the current memory context.
 */
void
InitValueCounts(ValueCounts *counts)
{
	HASHCTL control = {0};

	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(ValueCount);
	control.hcxt = CurrentMemoryContext;
	memset(counts, 0, sizeof(*counts));
	counts->context = CurrentMemoryContext;
	counts->values =
		hash_create("acteon_replay values", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * The count of a value, made if there is none yet; NULL if there are too many.
 */
static ValueCount *
find_count(ValueCounts *counts, const text *value)
{
	uint64 hash = value == NULL ? 0
								: hash_bytes_extended((unsigned char *) VARDATA_ANY(value),
													  VARSIZE_ANY_EXHDR(value), 0);
	bool is_full = hash_get_num_entries(counts->values) >= MAX_VALUES;
	bool found;
	ValueCount *count =
		hash_search(counts->values, &hash, is_full ? HASH_FIND : HASH_ENTER, &found);

	if (count == NULL || found)
		return count;
	count->value = NULL;
	count->matched = count->replayable = 0;
	if (value != NULL)
	{
		Size size = VARSIZE_ANY(value);

		count->value = MemoryContextAlloc(counts->context, size);
		memcpy(count->value, value, size);
	}
	return count;
}

/*
 * Count a record by its value, which is NULL if it has none.
 */
void
CountValue(ValueCounts *counts, const text *value, bool replayable)
{
	ValueCount *count = counts->last;

	/* Neighbours are often the same. */
	if (count == NULL || !SameOptionalText(count->value, value))
		count = counts->last = find_count(counts, value);
	if (count == NULL)
		count = &counts->rest;
	count->matched++;
	count->replayable += replayable;
}

/*
 * Order of counts: the greatest first, then by value.
 */
static int
compare_counts(const void *a, const void *b)
{
	const ValueCount *ca = a;
	const ValueCount *cb = b;
	int order;

	if (ca->matched != cb->matched)
		return ca->matched > cb->matched ? -1 : 1;
	if (ca->value == NULL || cb->value == NULL)
		return (ca->value == NULL) - (cb->value == NULL);
	order = memcmp(VARDATA_ANY(ca->value), VARDATA_ANY(cb->value),
				   Min(VARSIZE_ANY_EXHDR(ca->value), VARSIZE_ANY_EXHDR(cb->value)));
	return order != 0 ? order
					  : (int) VARSIZE_ANY_EXHDR(ca->value) - (int) VARSIZE_ANY_EXHDR(cb->value);
}

/*
 * The values that most records have, at most as many as wanted, and the others
 * together: what they come to, and how many they are.  Where there were too many
 * to be told apart, these are one more.
 */
int
TopValues(ValueCounts *counts, int wanted, ValueCount **top, ValueCount *others, int *other_values)
{
	int count = hash_get_num_entries(counts->values);
	HASH_SEQ_STATUS status;
	ValueCount *entry;
	int n = 0;

	*top = palloc(Max(count, 1) * sizeof(ValueCount));
	hash_seq_init(&status, counts->values);
	while ((entry = hash_seq_search(&status)) != NULL)
		(*top)[n++] = *entry;
	qsort(*top, n, sizeof(ValueCount), compare_counts);

	*others = counts->rest;
	*other_values = counts->rest.matched > 0 ? 1 : 0;
	for (int i = wanted; i < n; i++)
	{
		others->matched += (*top)[i].matched;
		others->replayable += (*top)[i].replayable;
		(*other_values)++;
	}
	return Min(n, wanted);
}
