/*
 * patterns.c
 *		Patterns that a query compares records with.
 *
 * They are checked before a record is read: otherwise a mistake in one would show only
 * if there is a record with which it is compared.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"

#include "base/message.h"
#include "base/subtransaction.h"
#include "query/patterns.h"

/*
 * Check a pattern of LIKE, which the caller knows by this name.  Raises
 * invalid_escape_sequence if it ends with the escape character.
 */
void
CheckLikePattern(const char *name, const char *pattern)
{
	size_t len = strlen(pattern);
	size_t escapes = 0;

	while (escapes < len && pattern[len - 1 - escapes] == '\\')
		escapes++;
	if (escapes % 2 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ESCAPE_SEQUENCE),
				 errmsg("%s must not end with the escape character", name),
				 errhint("A backslash takes the next character literally; write \\\\ for one.")));
}

/* A path that is being read. */
typedef struct PathReader
{
	const char *text;
	Datum path;
} PathReader;

static bool
read_path(void *argument)
{
	PathReader *reader = argument;

	reader->path = DirectFunctionCall1(jsonpath_in, CStringGetDatum(reader->text));
	return true;
}

/*
 * The first variable of a path, as its text writes it, or NULL.  The server writes a
 * path with quotes around strings and keys, so that a dollar outside of quotes is one
 * of a variable if a quote follows.
 */
static const char *
find_variable(Datum path)
{
	char *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, path));
	bool quoted = false;

	for (const char *at = text; *at != '\0'; at++)
	{
		if (quoted && *at == '\\')
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else if (!quoted && at[0] == '$' && at[1] == '"')
			return at;
	}
	return NULL;
}

/*
 * Read a path of SQL/JSON, which the caller knows by this name.  Raises
 * invalid_parameter_value for what is none, with what the server says of it, and for one
 * with a variable, as there is nothing to give it a value.
 */
Datum
ReadJsonPath(const char *name, const char *text)
{
	PathReader reader = {.text = text};
	ErrorData *error = TryInSubtransaction(read_path, &reader, CurrentMemoryContext);
	const char *variable;

	if (error != NULL)
	{
		int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category != ERRCODE_DATA_EXCEPTION && error->sqlerrcode != ERRCODE_SYNTAX_ERROR &&
			error->sqlerrcode != ERRCODE_FEATURE_NOT_SUPPORTED)
			ReThrowError(error);
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is not a path of the SQL/JSON path language: \"%s\"", name,
							   ClipForMessage(text, strlen(text))),
						errdetail("%s%s%s", error->message, error->detail != NULL ? ": " : ".",
								  error->detail != NULL ? error->detail : ""),
						errhint("Write it as in $.template_id ? (@ == 7).")));
	}
	variable = find_variable(reader.path);
	if (variable != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s has a variable, which has no value: %s", name,
							   ClipForMessage(variable, strcspn(variable + 2, "\"") + 3)),
						errhint("Write the value itself into the path.")));
	return reader.path;
}
