/*
 * error_text.c
 *		Why an action was not executed, as its record has it.
 *
 * The reason is in the details of the outcome, which each outcome writes in its
 * own way: the message of an error, the name of the rule that suppressed the action,
 * or nothing, where the outcome says it all.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "audit/error_text.h"
#include "base/text.h"

/* What stands for an error whose text was not recorded. */
#define NO_TEXT "no error text"

/* Where the error of an outcome is: in the first of these members that is a text. */
typedef struct OutcomeError
{
	const char *outcome; /* NULL: of any other */
	const char *members[3];
	bool is_name;
	const char *otherwise; /* NULL: it is no error then */
	bool is_of_step;       /* else it is that of the step at which the chain failed */
} OutcomeError;

static const OutcomeError outcome_errors[] = {
	{FAILED_OUTCOME, {"message", "error", "code"}, false, NO_TEXT},
	{CIRCUIT_OPEN_OUTCOME, {0}, true, "circuit breaker is open"},
	{THROTTLED_OUTCOME, {0}, true, "throttled"},
	{QUOTA_EXCEEDED_OUTCOME, {0}, true, "quota is exceeded"},
	{SUPPRESSED_OUTCOME, {"rule"}, true, NO_TEXT},
	{SILENCED_OUTCOME, {"silence_id"}, true, NO_TEXT},
	{MUTED_OUTCOME, {"interval", "reason"}, true, NO_TEXT},
	{CHAIN_FAILED_OUTCOME, {"message", "error"}, false, NULL, true},
	{NULL, {"message", "error"}, false, NULL},
};

/*
 * Get a member that is a text and not empty.
 */
static bool
get_text(JsonbContainer *details, const char *member, ErrorText *error)
{
	JsonbValue value;

	if (details == NULL ||
		getKeyJsonValueFromContainer(details, member, strlen(member), &value) == NULL ||
		value.type != jbvString || value.val.string.len == 0)
		return false;
	error->text = value.val.string.val;
	error->len = value.val.string.len;
	return true;
}

/*
 * The error of the step at which a chain failed: the last one that has any.  A chain may
 * go on after the others.
 */
static bool
read_step(ErrorText *error, JsonbContainer *details)
{
	static const char *const member = "step_results";
	JsonbValue steps;

	if (details == NULL ||
		getKeyJsonValueFromContainer(details, member, strlen(member), &steps) == NULL ||
		steps.type != jbvBinary || !JsonContainerIsArray(steps.val.binary.data))
		return false;
	for (uint32 i = JsonContainerSize(steps.val.binary.data); i > 0; i--)
	{
		JsonbValue *step = getIthJsonbValueFromContainer(steps.val.binary.data, i - 1);

		CHECK_FOR_INTERRUPTS();
		if (step->type == jbvBinary && JsonContainerIsObject(step->val.binary.data) &&
			get_text(step->val.binary.data, "error", error))
			return true;
	}
	return false;
}

/*
 * The error of an action that was executed and whose provider said that it failed, with
 * the status code if that is recorded.
 */
static bool
read_executed(ErrorText *error, JsonbContainer *details)
{
	static const char *const members[] = {"status_code", "http_status"};
	JsonbValue value;

	error->is_name = true;
	if (!get_text(details, "status", error) ||
		(error->len == strlen("Success") && memcmp(error->text, "Success", error->len) == 0))
		return false;
	error->text = "provider answered with an error";
	for (int i = 0; i < lengthof(members); i++)
	{
		if (getKeyJsonValueFromContainer(details, members[i], strlen(members[i]), &value) == NULL ||
			value.type != jbvNumeric)
			continue;
		error->text =
			psprintf("%s: status %s", error->text,
					 DatumGetCString(
						 DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))));
		break;
	}
	error->len = strlen(error->text);
	return true;
}

/*
 * Find out why the action of a record was not executed.  Returns false if the record
 * says nothing about that, as one of an action that was executed.  The text lives
 * in the current memory context.
 */
bool
ReadErrorText(ErrorText *error, const AuditRecord *record)
{
	const OutcomeError *where = outcome_errors;
	JsonbContainer *details = NULL;

	if (record->outcome == NULL)
		return false;
	while (where->outcome != NULL && !TextIs(record->outcome, where->outcome))
		where++;
	if (record->has_details && (where->outcome == NULL || where->members[0] != NULL))
	{
		Jsonb *json = DatumGetJsonbP(record->details);

		details = JB_ROOT_IS_OBJECT(json) ? &json->root : NULL;
	}
	if (TextIs(record->outcome, EXECUTED_OUTCOME))
		return read_executed(error, details);
	error->is_name = where->is_name;
	for (int i = 0; i < lengthof(where->members) && where->members[i] != NULL; i++)
	{
		if (get_text(details, where->members[i], error))
			return true;
	}
	if (where->is_of_step && read_step(error, details))
		return true;
	error->text = where->otherwise;
	error->len = where->otherwise == NULL ? 0 : strlen(where->otherwise);
	error->is_name = true;
	return where->otherwise != NULL;
}

/*
 * Make the signature of an error, which has room for SIGNATURE_BYTES.  Returns its
 * length.
 */
int
SignatureOfError(char *signature, const ErrorText *error, SignatureRules rules)
{
	int len;

	if (!error->is_name)
		return MakeSignature(signature, error->text, error->len, rules);
	len = pg_mbcliplen(error->text, error->len, SIGNATURE_BYTES);
	memcpy(signature, error->text, len);
	return len;
}

/*
 * Make the signature of the error of a record, which has room for SIGNATURE_BYTES.
 * Returns its length, -1 if the record has no error.
 */
int
SignatureOfRecord(char *signature, const AuditRecord *record, SignatureRules rules)
{
	ErrorText error;

	return ReadErrorText(&error, record) ? SignatureOfError(signature, &error, rules) : -1;
}
