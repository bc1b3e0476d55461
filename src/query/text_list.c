/*
 * text_list.c
 *		Lists of texts, such as hand-picked ids.
 *
 * A list may be long, and a call that works in chunks uses it in each of them, so it
 * is sorted and its digest is made once, when it is read.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/jsonb_build.h"
#include "base/text.h"
#include "query/text_list.h"

/*
 * Order of two texts by their bytes.
 */
static int
compare_texts(const void *a, const void *b)
{
	return CompareTexts(DatumGetTextPP(*(const Datum *) a), DatumGetTextPP(*(const Datum *) b));
}

/*
 * Set a list to texts, which it keeps.  Raises invalid_parameter_value if there are
 * too many of them.
 */
static void
set_list(TextList *list, const char *name, Datum *texts, int count)
{
	StringInfoData all;

	qsort(texts, count, sizeof(Datum), compare_texts);
	list->given = true;
	list->texts = texts;
	list->count = (int) qunique(texts, count, sizeof(Datum), compare_texts);
	if (list->count > MAX_LISTED)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s has %d different elements, more than %d", name, list->count,
							   MAX_LISTED),
						errhint("Use several calls, or a filter that selects the same records.")));
	list->array = construct_array(texts, list->count, TEXTOID, -1, false, TYPALIGN_INT);
	initStringInfo(&all);
	for (int i = 0; i < list->count; i++)
	{
		const text *value = DatumGetTextPP(texts[i]);

		appendStringInfo(&all, "%d:", (int) VARSIZE_ANY_EXHDR(value));
		appendBinaryStringInfo(&all, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
	QueryDigest(list->digest, all.data, all.len);
	pfree(all.data);
}

/*
 * Raise the error of an element that is not there.
 */
static void
report_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not contain nulls", name),
			 errhint("Leave them out: ARRAY(SELECT id ... WHERE id IS NOT NULL).")));
}

/*
 * Read a list, which the caller knows by this name, out of an array of text.  Raises
 * invalid_parameter_value for a NULL among its elements.  The list points into the
 * array.
 */
void
TextListFromArray(TextList *list, const char *name, ArrayType *array)
{
	Datum *texts;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			report_null(name);
	}
	set_list(list, name, texts, count);
}

/*
 * Read a list out of a JSON array of strings.  Returns false if it is something else.
 * Raises invalid_parameter_value for a null among its elements.
 */
bool
TextListFromJson(TextList *list, const char *name, const JsonbValue *value)
{
	JsonbContainer *container = value->type == jbvBinary ? value->val.binary.data : NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue element;
	Datum *texts;
	int count = 0;

	if (container == NULL || !JsonContainerIsArray(container))
		return false;
	texts = palloc(Max(JsonContainerSize(container), 1) * sizeof(Datum));
	it = JsonbIteratorInit(container);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type == jbvNull)
			report_null(name);
		if (element.type != jbvString)
			return false;
		texts[count++] = PointerGetDatum(
			cstring_to_text_with_len(element.val.string.val, element.val.string.len));
	}
	set_list(list, name, texts, count);
	return true;
}

/*
 * Push a list as a member of an object.
 */
void
PushTextList(JsonbParseState **state, const char *name, const TextList *list)
{
	PushKey(state, name);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < list->count; i++)
	{
		text *value = DatumGetTextPP(list->texts[i]);
		JsonbValue element = {.type = jbvString};

		element.val.string.val = VARDATA_ANY(value);
		element.val.string.len = VARSIZE_ANY_EXHDR(value);
		pushJsonbValue(state, WJB_ELEM, &element);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * Whether a list names a text.
 */
bool
TextListHas(const TextList *list, const text *value)
{
	Datum key = PointerGetDatum(value);

	return list->count > 0 &&
		   bsearch(&key, list->texts, list->count, sizeof(Datum), compare_texts) != NULL;
}
