/*
 * scope.c
 *		The scope of a batch.
 *
 * The scope of a batch is the set of distinct (tenant, namespace, provider,
 * action type) of the actions that it attempted: to read the batch's row, a
 * role must be covered for all of them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "access/visibility.h"
#include "base/text.h"
#include "batch/scope.h"

/* What an element of a scope says. */
typedef struct ElementKey
{
	const text *parts[SCOPE_PARTS];
} ElementKey;

/* An element, in the table of them. */
typedef struct ScopeElement
{
	ElementKey key;
	int place; /* in the order in which they came */
	uint32 hash;
	char status;
} ScopeElement;

static uint32
hash_element(ElementKey key)
{
	uint32 hash = 0;

	for (int i = 0; i < SCOPE_PARTS; i++)
		hash = hash_combine(hash, hash_bytes((const unsigned char *) VARDATA_ANY(key.parts[i]),
											 VARSIZE_ANY_EXHDR(key.parts[i])));
	return hash;
}

static bool
same_element(ElementKey a, ElementKey b)
{
	for (int i = 0; i < SCOPE_PARTS; i++)
	{
		if (!SameText(a.parts[i], b.parts[i]))
			return false;
	}
	return true;
}

#define SH_PREFIX elements
#define SH_ELEMENT_TYPE ScopeElement
#define SH_KEY_TYPE ElementKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_element(key)
#define SH_EQUAL(table, a, b) same_element(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Scope
{
	MemoryContext context;
	const text *provider_override; /* NULL: none */
	elements_hash *elements;
};

/*
 * Make an empty scope in the current memory context.  If the actions go to
 * another provider than their records tell, they are about that, too.
 */
Scope *
NewScope(const char *provider_override)
{
	Scope *scope = palloc0(sizeof(Scope));

	scope->context = CurrentMemoryContext;
	if (provider_override != NULL)
		scope->provider_override = cstring_to_text(provider_override);
	scope->elements = elements_create(CurrentMemoryContext, 8, NULL);
	return scope;
}

/*
 * Add an element to a scope, if it is not there already.  Returns whether it was added.
 */
static bool
add_element(Scope *scope, ElementKey key)
{
	bool found;
	ScopeElement *element = elements_insert(scope->elements, key, &found);

	if (found)
		return false;
	element->place = scope->elements->members - 1;
	for (int i = 0; i < SCOPE_PARTS; i++)
	{
		Size size = VARSIZE_ANY(key.parts[i]);

		element->key.parts[i] =
			memcpy(MemoryContextAlloc(scope->context, size), key.parts[i], size);
	}
	return true;
}

/*
 * Add what a record is about to a scope, and what it becomes.  Returns whether some of it
 * was not there.
 */
bool
AddToScope(Scope *scope, const AuditRecord *record)
{
	ElementKey key = {{record->tenant, record->namespace, record->provider, record->action_type}};
	bool added = add_element(scope, key);

	if (scope->provider_override == NULL)
		return added;
	key.parts[2] = scope->provider_override;
	return add_element(scope, key) || added;
}

/*
 * How many elements a scope has.
 */
int
ScopeSize(const Scope *scope)
{
	return scope->elements->members;
}

/*
 * The scope that ScopeToJsonb has written, to be gone on with as NewScope's, in
 * the current memory context.
 */
Scope *
ScopeFromJsonb(Jsonb *json, const char *provider_override)
{
	Scope *scope = NewScope(provider_override);
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	text *parts[SCOPE_PARTS];

	while (NextScopeElement(&it, parts))
	{
		ElementKey key;

		memcpy(key.parts, parts, sizeof(parts));
		add_element(scope, key);
		for (int i = 0; i < SCOPE_PARTS; i++)
			pfree(parts[i]);
	}
	return scope;
}

/*
 * A scope as an array of [tenant, namespace, provider, action_type].
 */
Jsonb *
ScopeToJsonb(const Scope *scope)
{
	const ScopeElement **ordered = palloc(Max(ScopeSize(scope), 1) * sizeof(ScopeElement *));
	JsonbParseState *state = NULL;
	elements_iterator it;
	ScopeElement *element;

	elements_start_iterate(scope->elements, &it);
	while ((element = elements_iterate(scope->elements, &it)) != NULL)
		ordered[element->place] = element;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < ScopeSize(scope); i++)
	{
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int k = 0; k < SCOPE_PARTS; k++)
		{
			const text *part = ordered[i]->key.parts[k];
			JsonbValue value;

			value.type = jbvString;
			value.val.string.val = VARDATA_ANY(part);
			value.val.string.len = VARSIZE_ANY_EXHDR(part);
			pushJsonbValue(&state, WJB_ELEM, &value);
		}
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	pfree(ordered);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}
