/*
 * grant_index.c
 *		Finding the grants that cover a record, however many there are.
 *
 * A grant covers a record if each of its four lists covers the record's value: by
 * "*", which covers everything, or by an entry of the same bytes; tenants also by an
 * entry for one above them.  The index has, for each value of each field, the numbers
 * of the grants that list it, in ascending order.  A search takes the field with the
 * fewest grants for the record's value, and looks each of these up in the other three.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "access/grant_index.h"
#include "base/text.h"

/* Numbers of grants, ascending. */
typedef struct GrantNumbers
{
	int count;
	int allocated;
	int *numbers;
} GrantNumbers;

/* A value of a field; it need not be a text of its own. */
typedef struct FieldValue
{
	GrantField field;
	const char *bytes;
	Size len;
} FieldValue;

/* The grants that list it. */
typedef struct ListedValue
{
	FieldValue value;
	uint32 hash;
	char status;
	GrantNumbers grants;
} ListedValue;

static inline uint32
hash_value(const FieldValue *value)
{
	return hash_combine(hash_bytes((const unsigned char *) value->bytes, value->len), value->field);
}

static inline bool
same_value(const FieldValue *a, const FieldValue *b)
{
	return a->field == b->field && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

#define SH_PREFIX listed
#define SH_ELEMENT_TYPE ListedValue
#define SH_KEY_TYPE FieldValue
#define SH_KEY value
#define SH_HASH_KEY(tb, key) hash_value(&(key))
#define SH_EQUAL(tb, a, b) same_value(&(a), &(b))
#define SH_STORE_HASH
#define SH_GET_HASH(tb, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* What is kept of a grant beside its lists. */
typedef struct IndexedGrant
{
	int rights;
	bool covers_all[NUM_GRANT_FIELDS];
} IndexedGrant;

struct GrantIndex
{
	MemoryContext context;
	listed_hash *values;
	GrantNumbers covering_all[NUM_GRANT_FIELDS]; /* with "*" */
	Size longest_tenant;                         /* entry */
	int count;
	int allocated;
	IndexedGrant *grants;
	int last_hit; /* the grant that covered last, which is tried first; -1: none */
};

/* The grants for a record's value of one field, without those that cover all. */
typedef struct Candidates
{
	const GrantNumbers *fixed[8];
	const GrantNumbers **lists;
	int count;
	int allocated;
	int64 grants; /* in all lists, and those that cover all */
} Candidates;

/*
 * Make an empty index in the current memory context, where it stays.
 */
GrantIndex *
MakeGrantIndex(void)
{
	GrantIndex *index = palloc0(sizeof(GrantIndex));

	index->context = CurrentMemoryContext;
	index->values = listed_create(CurrentMemoryContext, 64, NULL);
	index->last_hit = -1;
	return index;
}

/*
 * Append a grant to numbers, unless it is the last one already, as for a value that a
 * list has twice.
 */
static void
append_number(GrantIndex *index, GrantNumbers *numbers, int number)
{
	if (numbers->count > 0 && numbers->numbers[numbers->count - 1] == number)
		return;
	if (numbers->count == numbers->allocated)
	{
		numbers->allocated = Max(2, numbers->allocated * 2);
		numbers->numbers =
			numbers->numbers == NULL
				? MemoryContextAlloc(index->context, numbers->allocated * sizeof(int))
				: repalloc(numbers->numbers, numbers->allocated * sizeof(int));
	}
	numbers->numbers[numbers->count++] = number;
}

/*
 * Enter that a grant lists a value of a field.
 */
static void
list_value(GrantIndex *index, GrantField field, const text *entry, int number)
{
	FieldValue value = {.field = field,
						.bytes = VARDATA_ANY(entry),
						.len = VARSIZE_ANY_EXHDR(entry)};
	ListedValue *listed;
	bool found;

	listed = listed_insert(index->values, value, &found);
	if (!found)
	{
		char *copy = MemoryContextAlloc(index->context, Max(value.len, 1));

		memcpy(copy, value.bytes, value.len);
		listed->value.bytes = copy;
		memset(&listed->grants, 0, sizeof(listed->grants));
	}
	if (field == GRANT_TENANT)
		index->longest_tenant = Max(index->longest_tenant, value.len);
	append_number(index, &listed->grants, number);
}

/*
 * Add a grant: its rights, of which a search asks for some, and its lists, by field.
 * Copies what it keeps.
 */
void
IndexGrant(GrantIndex *index, int rights, const GrantList *lists)
{
	int number = index->count;
	IndexedGrant *grant;

	if (index->count == index->allocated)
	{
		index->allocated = Max(8, index->allocated * 2);
		index->grants =
			index->grants == NULL
				? MemoryContextAlloc(index->context, index->allocated * sizeof(IndexedGrant))
				: repalloc(index->grants, index->allocated * sizeof(IndexedGrant));
	}
	grant = &index->grants[index->count++];
	grant->rights = rights;
	for (int field = 0; field < NUM_GRANT_FIELDS; field++)
	{
		grant->covers_all[field] = false;
		for (int i = 0; i < lists[field].count; i++)
		{
			const text *entry = DatumGetTextPP(lists[field].entries[i]);

			if (TextIs(entry, "*"))
				grant->covers_all[field] = true;
			else
				list_value(index, field, entry, number);
		}
		if (grant->covers_all[field])
			append_number(index, &index->covering_all[field], number);
	}
}

/*
 * How many grants there are.
 */
int
IndexedGrants(const GrantIndex *index)
{
	return index->count;
}

/*
 * Add the grants that list the first bytes of a value.
 */
static void
add_candidates(GrantIndex *index, Candidates *found, GrantField field, const text *value, Size len)
{
	FieldValue key = {.field = field, .bytes = VARDATA_ANY(value), .len = len};
	ListedValue *listed = listed_lookup(index->values, key);

	if (listed == NULL)
		return;
	if (found->count == found->allocated)
	{
		const GrantNumbers **more = palloc(2 * found->allocated * sizeof(*more));

		memcpy(more, found->lists, found->count * sizeof(*more));
		found->lists = more;
		found->allocated *= 2;
	}
	found->lists[found->count++] = &listed->grants;
	found->grants += listed->grants.count;
}

/*
 * Find the grants for a record's value of a field.  A tenant is also covered by what is
 * in front of any of its dots that has something behind it: acme covers acme and
 * acme.us-east; neither acme-corp nor "acme." alone.
 */
static void
find_candidates(GrantIndex *index, Candidates *found, GrantField field, const text *value)
{
	const char *bytes = VARDATA_ANY(value);
	Size len = VARSIZE_ANY_EXHDR(value);

	found->lists = found->fixed;
	found->allocated = lengthof(found->fixed);
	found->count = 0;
	found->grants = index->covering_all[field].count;
	add_candidates(index, found, field, value, len);
	if (field != GRANT_TENANT)
		return;
	for (Size i = 0; i + 1 < len && i <= index->longest_tenant; i++)
	{
		if (bytes[i] == '.')
			add_candidates(index, found, field, value, i);
	}
}

/*
 * Whether a grant is among numbers.
 */
static bool
has_number(const GrantNumbers *numbers, int number)
{
	int low = 0;
	int high = numbers->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (numbers->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < numbers->count && numbers->numbers[low] == number;
}

/*
 * Whether a grant has a right and covers what the candidates were found for.
 */
static bool
grant_covers(const GrantIndex *index, int number, int right, const Candidates *found)
{
	const IndexedGrant *grant = &index->grants[number];

	if ((grant->rights & right) == 0)
		return false;
	for (int field = 0; field < NUM_GRANT_FIELDS; field++)
	{
		bool covers = grant->covers_all[field];

		for (int i = 0; i < found[field].count && !covers; i++)
			covers = has_number(found[field].lists[i], number);
		if (!covers)
			return false;
	}
	return true;
}

/*
 * The first of numbers that covers, -1 if none does.
 */
static int
first_covering(const GrantIndex *index, const GrantNumbers *numbers, int right,
			   const Candidates *found)
{
	for (int i = 0; i < numbers->count; i++)
	{
		if (grant_covers(index, numbers->numbers[i], right, found))
			return numbers->numbers[i];
	}
	return -1;
}

/*
 * Find a grant with a right that covers what the candidates were found for, -1 if there
 * is none.
 */
static int
find_grant(const GrantIndex *index, int right, const Candidates *found)
{
	GrantField fewest = 0;
	int number;

	for (int field = 1; field < NUM_GRANT_FIELDS; field++)
	{
		if (found[field].grants < found[fewest].grants)
			fewest = field;
	}
	for (int i = 0; i < found[fewest].count; i++)
	{
		number = first_covering(index, found[fewest].lists[i], right, found);
		if (number >= 0)
			return number;
	}
	return first_covering(index, &index->covering_all[fewest], right, found);
}

/*
 * Whether a grant that has a right covers a record with these values, by field.
 */
bool
IndexCovers(GrantIndex *index, int right, const text *const *values)
{
	Candidates found[NUM_GRANT_FIELDS];
	int number;

	for (int field = 0; field < NUM_GRANT_FIELDS; field++)
	{
		find_candidates(index, &found[field], field, values[field]);
		if (found[field].grants == 0)
			return false;
	}
	if (index->last_hit >= 0 && grant_covers(index, index->last_hit, right, found))
		return true;
	number = find_grant(index, right, found);
	if (number < 0)
		return false;
	index->last_hit = number;
	return true;
}

/*
 * Whether a grant covers a value of a field, whatever it asks of the others.
 */
bool
IndexCoversValue(GrantIndex *index, GrantField field, const text *value)
{
	Candidates found;

	find_candidates(index, &found, field, value);
	return found.grants > 0;
}

/*
 * List the values of a field that the grants name, as texts.  Returns false if one of
 * them covers everything.
 */
bool
IndexedValues(const GrantIndex *index, GrantField field, Datum **values, int *count)
{
	listed_iterator it;
	const ListedValue *listed;

	*count = 0;
	if (index->covering_all[field].count > 0)
		return false;
	*values = palloc(Max(index->values->members, 1) * sizeof(Datum));
	listed_start_iterate(index->values, &it);
	while ((listed = listed_iterate(index->values, &it)) != NULL)
	{
		if (listed->value.field == field)
			(*values)[(*count)++] = PointerGetDatum(
				cstring_to_text_with_len(listed->value.bytes, (int) listed->value.len));
	}
	return true;
}
