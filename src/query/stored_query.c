/*
 * stored_query.c
 *		Options of a query as it is stored with its batch.
 *
 * A batch keeps its query as an object with the keys of the wire form (query_json.c), which
 * was checked when it was written.  The owner of the table may have changed it since: what
 * is not of the type of its option counts as not given.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/target.h"
#include "query/stored_query.h"

/*
 * Read the value of an option.  Returns false if the query has none.
 */
bool
StoredOption(Jsonb *query, OptionId id, JsonbValue *value)
{
	const char *key = ReplayOptions[id].key;

	return JB_ROOT_IS_OBJECT(query) &&
		   getKeyJsonValueFromContainer(&query->root, key, strlen(key), value) != NULL;
}

/*
 * The text that a query has for an option, in the current memory context; NULL if it has
 * none.
 */
char *
StoredText(Jsonb *query, OptionId id)
{
	JsonbValue value;

	if (!StoredOption(query, id, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/*
 * Whether a query has true for an option.
 */
bool
StoredFlag(Jsonb *query, OptionId id)
{
	JsonbValue value;

	return StoredOption(query, id, &value) && value.type == jbvBool && value.val.boolean;
}

/*
 * What a query selects by a filter, in the current memory context; without the filter it
 * is "*", which only a grant for everything covers, and which is the name of nothing.
 */
text *
StoredFilter(Jsonb *query, OptionId id)
{
	const char *value = StoredText(query, id);

	return cstring_to_text(value == NULL ? "*" : value);
}

/*
 * The target of a query, in the current memory context; NULL for production.
 */
char *
StoredTarget(Jsonb *query)
{
	char *target = StoredText(query, OPTION_TARGET);

	return target == NULL || strcmp(target, PRODUCTION) == 0 ? NULL : target;
}
