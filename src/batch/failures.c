/*
 * failures.c
 *		Counts of the records of a batch that failed, by their reasons, as the row of the
 *		batch has them (failures).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/jsonb_build.h"
#include "batch/failures.h"

/*
 * Count a failed record by its reason, in the current memory context.  There
 * are only a few reasons.
 */
void
AddFailure(Failures *failures, const char *reason, int64 count)
{
	for (int i = 0; i < failures->count; i++)
	{
		if (strcmp(failures->reasons[i], reason) == 0)
		{
			failures->counts[i] += count;
			return;
		}
	}
	if (failures->count == MAX_FAILURE_REASONS - 1)
		reason = "other reasons";
	if (failures->count < MAX_FAILURE_REASONS)
	{
		failures->reasons[failures->count] = pstrdup(reason);
		failures->counts[failures->count++] = count;
	}
}

/*
 * Failures as an object: reason → count.
 */
Jsonb *
FailuresToJsonb(const Failures *failures)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < failures->count; i++)
		PushNumber(&state, failures->reasons[i], failures->counts[i]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * The failures that FailuresToJsonb has written, in the current memory context.
 */
Failures *
FailuresFromJsonb(Jsonb *json)
{
	Failures *failures = palloc0(sizeof(Failures));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *reason = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			reason = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			AddFailure(failures, reason,
					   DatumGetInt64(
						   DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric))));
	}
	return failures;
}
