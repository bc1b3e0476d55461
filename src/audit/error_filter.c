/*
 * error_filter.c
 *		What a query asks of the errors of records.
 *
 * This is looked at here and not by the server, because where the error of a record is
 * and what its signature is are our rules, and so that a foreign server need not know
 * them.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "audit/error_filter.h"
#include "audit/error_text.h"

/*
 * Whether a query asks for records with a certain error.
 */
bool
AsksForError(const ReplayQuery *query)
{
	return query->signature != NULL || query->error_like != NULL;
}

/*
 * Whether a query leaves out records with a certain error.
 */
bool
ExcludesError(const ReplayQuery *query)
{
	return query->excluded != NULL && AsksForError(query->excluded);
}

/*
 * Whether the errors of records decide whether they match a query.
 */
bool
ChecksErrors(const ReplayQuery *query)
{
	return AsksForError(query) || ExcludesError(query);
}

/*
 * Let a query, which has been checked, find records whatever their errors are.
 */
void
IgnoreErrors(ReplayQuery *query)
{
	if (ExcludesError(query))
		query->excluded = NULL;
	query->signature = NULL;
	query->error_like = NULL;
}

/*
 * Whether an error is like the pattern that a query asks for, if it asks for one.
 */
static bool
is_like(const ErrorText *error, const ReplayQuery *query)
{
	return query->error_like == NULL ||
		   DatumGetBool(DirectFunctionCall2Coll(
			   textlike, C_COLLATION_OID,
			   PointerGetDatum(cstring_to_text_with_len(error->text, error->len)),
			   CStringGetTextDatum(query->error_like)));
}

/*
 * Whether an error has the signature that a query asks for, if it asks for one.
 */
static bool
has_signature(const ErrorText *error, const ReplayQuery *query)
{
	const char *wanted = error->is_name ? query->signature : query->signature_made;
	char signature[SIGNATURE_BYTES];
	int len;

	if (query->signature == NULL)
		return true;
	len = SignatureOfError(signature, error, query->rules);
	return len == strlen(wanted) && memcmp(signature, wanted, len) == 0;
}

/*
 * Whether a record has the error that a query, which has been checked, asks for, and not
 * the one that it leaves out if all else that it leaves out is met.
 */
bool
MatchesError(const AuditRecord *record, const ReplayQuery *query, bool is_excluded_else)
{
	const ReplayQuery *excluded = query->excluded;
	ErrorText error;

	if (!ReadErrorText(&error, record))
		return !AsksForError(query);
	if (!is_like(&error, query) || !has_signature(&error, query))
		return false;
	return !is_excluded_else || !ExcludesError(query) || !is_like(&error, excluded) ||
		   !has_signature(&error, excluded);
}
