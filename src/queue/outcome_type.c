/*
 * outcome_type.c
 *		The type acteon_outcome: a jsonb that is stored in fewer bytes.
 *
 * An answer of the gateway is most of a delivery's row and of its WAL, and most of
 * the answer is the same in all of them: the names of its members, and what jsonb's
 * binary form adds to them.  So an outcome is stored as the text of the jsonb, and
 * without the beginning and the end that one of the known forms gives it.  Put
 * together again, it is the same text, and so the same jsonb: nothing is lost,
 * whatever is in between.
 *
 * A stored value begins with a word, as that of a jsonb does.  It has a bit set that
 * no jsonb has, and the form in the others; the text follows.  Everything else in a
 * column of this type is a jsonb as it is: a column of version 1.0 becomes one of this
 * type without being rewritten, and what is large, or would not become smaller, stays
 * a jsonb.
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/json_text.h"
#include "queue/outcome_type.h"

/* The bit of the first word that jsonb leaves unused. */
#define PACKED 0x80000000U

/*
 * The forms, by number, and what texts of them begin and end with.  Values that are
 * stored refer to them, so none of them may change.
 */
static const struct
{
	const char *before;
	const char *behind;
} forms[] = {{"", ""},
			 {"{\"Executed\": {\"body\": ", ", \"status\": \"success\", \"headers\": {}}}"},
			 {"{\"Executed\": {\"body\": ", ", \"status\": \"failure\", \"headers\": {}}}"}};

/* Size of the jsonb, in bytes, above which it is left as it is. */
#define MAX_PACKED_OUTCOME 1000

/* The version of jsonb's binary form on the wire. */
#define JSONB_WIRE_VERSION 1

PG_FUNCTION_INFO_V1(acteon_outcome_in);
PG_FUNCTION_INFO_V1(acteon_outcome_out);
PG_FUNCTION_INFO_V1(acteon_outcome_recv);
PG_FUNCTION_INFO_V1(acteon_outcome_send);
PG_FUNCTION_INFO_V1(acteon_outcome_jsonb);
PG_FUNCTION_INFO_V1(acteon_outcome_json);
PG_FUNCTION_INFO_V1(acteon_outcome_eq);
PG_FUNCTION_INFO_V1(acteon_outcome_lt);
PG_FUNCTION_INFO_V1(acteon_outcome_le);
PG_FUNCTION_INFO_V1(acteon_outcome_gt);
PG_FUNCTION_INFO_V1(acteon_outcome_ge);
PG_FUNCTION_INFO_V1(acteon_outcome_cmp);
PG_FUNCTION_INFO_V1(acteon_outcome_hash);

/*
 * The form of a text with the longest beginning and end; 0, which has none, if no
 * other one fits.
 */
static uint32
form_of(const StringInfoData *text)
{
	for (uint32 form = 1; form < lengthof(forms); form++)
	{
		int before = strlen(forms[form].before);
		int behind = strlen(forms[form].behind);

		if (text->len >= before + behind && memcmp(text->data, forms[form].before, before) == 0 &&
			memcmp(text->data + text->len - behind, forms[form].behind, behind) == 0)
			return form;
	}
	return 0;
}

/*
 * An outcome, a jsonb, as it is stored in a column of type acteon_outcome.  Returns
 * the jsonb itself where it stays one.
 */
Datum
PackOutcome(Datum outcome)
{
	Jsonb *json = DatumGetJsonbP(outcome);
	StringInfoData text;
	uint32 form, word;
	int before, len;
	struct varlena *stored;

	if (VARSIZE(json) > MAX_PACKED_OUTCOME)
		return outcome;
	initStringInfo(&text);
	AppendJsonb(&text, json);
	form = form_of(&text);
	before = strlen(forms[form].before);
	len = text.len - before - strlen(forms[form].behind);
	if (VARHDRSZ + sizeof(word) + len >= VARSIZE(json))
	{
		pfree(text.data);
		return outcome;
	}
	stored = palloc(VARHDRSZ + sizeof(word) + len);
	SET_VARSIZE(stored, VARHDRSZ + sizeof(word) + len);
	word = PACKED | form;
	memcpy(VARDATA(stored), &word, sizeof(word));
	memcpy(VARDATA(stored) + sizeof(word), text.data + before, len);
	pfree(text.data);
	return PointerGetDatum(stored);
}

/*
 * The text of a value that is stored packed; NULL if it is stored as a jsonb.
 */
static char *
unpacked_text(const struct varlena *stored)
{
	int len = (int) VARSIZE_ANY_EXHDR(stored) - (int) sizeof(uint32);
	uint32 word;

	if (len < 0)
		return NULL;
	memcpy(&word, VARDATA_ANY(stored), sizeof(word));
	if ((word & PACKED) == 0)
		return NULL;
	word &= ~PACKED;
	if (word >= lengthof(forms))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("outcome of a delivery has unknown form %u", word),
				 errhint("It was written by a later version of acteon_replay, or is damaged.")));
	return psprintf("%s%.*s%s", forms[word].before, len,
					(const char *) VARDATA_ANY(stored) + sizeof(word), forms[word].behind);
}

/*
 * The outcome that is stored, as text.
 */
static char *
outcome_text(Datum value)
{
	char *text = unpacked_text(PG_DETOAST_DATUM_PACKED(value));

	if (text == NULL)
		text = DatumGetCString(DirectFunctionCall1(jsonb_out, value));
	return text;
}

/*
 * The outcome that is stored in a column of type acteon_outcome.
 */
Jsonb *
UnpackOutcome(Datum value)
{
	char *text = unpacked_text(PG_DETOAST_DATUM_PACKED(value));

	if (text != NULL)
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	return DatumGetJsonbP(value);
}

/*
 * acteon_outcome_in(cstring) -> acteon_outcome
 *
 * Reads what jsonb reads.
 */
Datum
acteon_outcome_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PackOutcome(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(0))));
}

/*
 * acteon_outcome_out(acteon_outcome) -> cstring
 *
 * The text of the jsonb.
 */
Datum
acteon_outcome_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(outcome_text(PG_GETARG_DATUM(0)));
}

/*
 * acteon_outcome_recv(internal) -> acteon_outcome
 *
 * The binary form is that of jsonb.
 */
Datum
acteon_outcome_recv(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PackOutcome(DirectFunctionCall1(jsonb_recv, PG_GETARG_DATUM(0))));
}

/*
 * acteon_outcome_send(acteon_outcome) -> bytea
 *
 * The binary form is that of jsonb.
 */
Datum
acteon_outcome_send(PG_FUNCTION_ARGS)
{
	char *text = outcome_text(PG_GETARG_DATUM(0));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint8(&message, JSONB_WIRE_VERSION);
	pq_sendtext(&message, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * acteon_outcome_jsonb(acteon_outcome) -> jsonb
 *
 * The cast to jsonb, which is implicit: operators and functions for jsonb work.
 */
Datum
acteon_outcome_jsonb(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(UnpackOutcome(PG_GETARG_DATUM(0)));
}

/*
 * acteon_outcome_json(acteon_outcome) -> json
 *
 * The cast to json, which to_jsonb, row_to_json and the like look for.
 */
Datum
acteon_outcome_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(outcome_text(PG_GETARG_DATUM(0))));
}

/*
 * Compare two outcomes, as jsonb.
 */
static int
compare_outcomes(FunctionCallInfo fcinfo)
{
	return compareJsonbContainers(&UnpackOutcome(PG_GETARG_DATUM(0))->root,
								  &UnpackOutcome(PG_GETARG_DATUM(1))->root);
}

/*
 * acteon_outcome_eq(acteon_outcome, acteon_outcome) -> boolean, and the other
 * operators: they compare as those of jsonb do, for GROUP BY, DISTINCT and ORDER BY.
 */
Datum
acteon_outcome_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_outcomes(fcinfo) == 0);
}

Datum
acteon_outcome_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_outcomes(fcinfo) < 0);
}

Datum
acteon_outcome_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_outcomes(fcinfo) <= 0);
}

Datum
acteon_outcome_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_outcomes(fcinfo) > 0);
}

Datum
acteon_outcome_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_outcomes(fcinfo) >= 0);
}

/*
 * acteon_outcome_cmp(acteon_outcome, acteon_outcome) -> integer
 *
 * Negative, zero or positive, in the order of jsonb.
 */
Datum
acteon_outcome_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_outcomes(fcinfo));
}

/*
 * acteon_outcome_hash(acteon_outcome) -> integer
 *
 * The hash of the jsonb.
 */
Datum
acteon_outcome_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(
		DirectFunctionCall1(jsonb_hash, JsonbPGetDatum(UnpackOutcome(PG_GETARG_DATUM(0)))));
}
