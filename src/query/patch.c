/*
 * patch.c
 *		What is to be changed in payloads, and by what that is known.
 *
 * A patch is a merge patch (RFC 7396), or a value for the places that an SQL/JSON path
 * selects.  A batch keeps the patch that it was enqueued with in its query, and those by
 * which it was patched later in a column.  The hash of a patch is the SHA-256 of
 * its text as jsonb, in UTF-8: encode(sha256(convert_to(patch::text, 'UTF8')), 'hex').  A
 * path and its value count as the object {"patch_path": …, "patch_value": …} for that.  An
 * action that was patched carries the first digits of it as a label, which the gateway
 * writes down in its record.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/json_text.h"
#include "base/jsonb_build.h"
#include "query/options.h"
#include "query/patch.h"
#include "query/patterns.h"
#include "query/stored_query.h"

/*
 * A merge patch, which may be one.  What is no object would replace each payload as a
 * whole, a JSON Patch (RFC 6902), which is an array, among it.  One that is nested too
 * deep could not be handed out.
 */
Patch *
ReadMergePatch(Jsonb *merge)
{
	Patch *patch;

	if (!JB_ROOT_IS_OBJECT(merge) || JB_ROOT_COUNT(merge) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("patch must be a JSON object with at least one member"),
						errhint("It is a merge patch (RFC 7396), such as %s.",
								ReplayOptions[OPTION_PATCH].example)));
	CheckJsonbDepth(merge);
	patch = palloc0(sizeof(Patch));
	patch->merge = patch->written = merge;
	return patch;
}

/*
 * A path and its value as they are hashed.
 */
static Jsonb *
write_places(const char *path, Jsonb *value)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, ReplayOptions[OPTION_PATCH_PATH].key, path);
	PushJsonb(&state, ReplayOptions[OPTION_PATCH_VALUE].key, value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * A value for the places that a path, which the caller knows by this name, selects.
 */
Patch *
ReadPlacePatch(const char *name, const char *path, Jsonb *value)
{
	Patch *patch = palloc0(sizeof(Patch));

	patch->places = ReadPlaces(name, ReadJsonPath(name, path));
	CheckJsonbDepth(value);
	patch->value = value;
	patch->written = write_places(path, value);
	return patch;
}

/*
 * The patch of a query as a batch keeps it, as it is hashed; NULL if it has none.
 */
static Jsonb *
stored_patch(Jsonb *query)
{
	JsonbValue value;
	const char *path;

	if (StoredOption(query, OPTION_PATCH, &value))
		return JsonbValueToJsonb(&value);
	path = StoredText(query, OPTION_PATCH_PATH);
	if (path == NULL || !StoredOption(query, OPTION_PATCH_VALUE, &value))
		return NULL;
	return write_places(path, JsonbValueToJsonb(&value));
}

/*
 * The patches of a batch, as they are hashed: that of its query, and those by which what
 * waited of it was patched, an array; NULL is none.  Returns a list of Jsonb.
 */
List *
StoredPatches(Jsonb *query, Jsonb *patches)
{
	Jsonb *asked = stored_patch(query);
	List *found = asked == NULL ? NIL : list_make1(asked);

	for (uint32 i = 0; patches != NULL && i < JB_ROOT_COUNT(patches); i++)
		found = lappend(found, JsonbValueToJsonb(getIthJsonbValueFromContainer(&patches->root, i)));
	return found;
}

/*
 * The hash of a patch, in hexadecimal digits, in the current memory context.
 */
char *
PatchHash(Jsonb *written)
{
	char *json = JsonbToCString(NULL, &written->root, VARSIZE(written));
	const char *utf8 = pg_server_to_any(json, strlen(json), PG_UTF8);
	Datum hash = DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text(utf8)));

	hash = DirectFunctionCall2(binary_encode, hash, CStringGetTextDatum("hex"));
	return TextDatumGetCString(hash);
}

/*
 * The value of the label PATCH_LABEL, in the current memory context.
 */
char *
PatchLabel(Jsonb *written)
{
	return pnstrdup(PatchHash(written), PATCH_LABEL_DIGITS);
}
