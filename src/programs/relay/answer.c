/*
 * answer.c
 *		What an answer of the gateway becomes.
 *
 * One table by status.  It tells what the answer proves about this request: that
 * the gateway has decided, that the action was not executed, or neither.  Whatever
 * is not in the table proves nothing, and the action is in doubt: redirects and
 * the faults of a proxy, but also 201, 202 and 204, which the gateway never says.
 *
 * A 400 about the signature is not the action's fault: the gateway does not know the key
 * with which it was signed, or wants one where there is none.  So it is the same as a 403,
 * and like that it is said before the id is claimed.
 */
#include "relay/answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"

#define MAX_DELAY (60 * MINUTE)
#define MAX_QUOTED_BODY 500

/* How long to leave a tenant alone that is over its quota, which says no time. */
#define QUOTA_DELAY (5 * SECOND)

/* What the gateway's errors about signatures begin with, and have in them. */
static const struct
{
	const char *start;
	const char *later;
} signature_errors[] = {
	{"unsigned action rejected: ", ""},
	{"signature verification failed for signer '", ""},
	{"signer '", "' is not authorized for tenant="},
};

/* In the table, for a 400 with one of them. */
#define STATUS_SIGNATURE (-400)

/* How the text of a judgement is made. */
typedef enum Wording
{
	OUTCOME,   /* the body; no JSON is a fault */
	DUPLICATE, /* {"AlreadyDispatched": the body} */
	ERROR_TEXT /* "status: the error in the body" */
} Wording;

static const struct
{
	long first;
	long last;
	bool own_words; /* only with the body that the gateway gives its errors */
	Fate fate;
	bool seen;
	Health health;
	Wording wording;
	int64_t delay; /* where Retry-After does not say */
} table[] = {
	{200, 200, false, FATE_ACK, true, GATEWAY_WORKS, OUTCOME, 0},
	{409, 409, false, FATE_ACK, true, GATEWAY_WORKS, DUPLICATE, 0},
	{429, 429, false, FATE_LATER, true, GATEWAY_BUSY, ERROR_TEXT, SECOND},
	{500, 500, true, FATE_RETRY, true, GATEWAY_FAULTY, ERROR_TEXT, 0},
	{STATUS_SIGNATURE, STATUS_SIGNATURE, false, FATE_RETRY, false, GATEWAY_DISTRUSTS, ERROR_TEXT,
	 0},
	{400, 400, false, FATE_DEAD, true, GATEWAY_WORKS, ERROR_TEXT, 0},
	{413, 413, false, FATE_DEAD, true, GATEWAY_WORKS, ERROR_TEXT, 0},
	{415, 415, false, FATE_DEAD, true, GATEWAY_WORKS, ERROR_TEXT, 0},
	{422, 422, false, FATE_DEAD, true, GATEWAY_WORKS, ERROR_TEXT, 0},
	{401, 401, false, FATE_LATER, false, GATEWAY_REFUSES, ERROR_TEXT, SECOND},
	{403, 403, false, FATE_RETRY, false, GATEWAY_FORBIDS, ERROR_TEXT, 0},
	{404, 405, false, FATE_LATER, false, GATEWAY_REFUSES, ERROR_TEXT, SECOND},
	{0, 999, false, FATE_DOUBT, true, GATEWAY_FAULTY, ERROR_TEXT, 0},
};

/*
 * Append "status: error": the gateway's own words if the body has them, else
 * the beginning of the body.
 */
static void
append_error(const Answer *answer, const char *remark, Buffer *text)
{
	Buffer words = {0};

	BufferPrint(text, "%ld: ", answer->status);
	if (remark != NULL)
		BufferAppendText(text, remark);
	if (JsonGetString(answer->body, answer->len, "error", &words))
		AppendCleanText(text, words.data, words.len, MAX_ERROR - text->len);
	else if (answer->len > 0)
		AppendCleanText(text, answer->body, answer->len, MAX_QUOTED_BODY);
	else
		BufferAppendText(text, "an empty answer");
	BufferFree(&words);
}

/*
 * There is no whole answer.  Only if the gateway cannot have read the request to
 * its end is it sure that nothing was done.  What it has not seen at all says
 * nothing about the action; what broke in the middle may be the action's fault,
 * as when it is too large for somebody in between.
 */
static Judgement
judge_failure(const Answer *answer, Buffer *text)
{
	static const Fate fates[] = {
		[SENT_WHOLE] = FATE_DOUBT, [SENT_PART] = FATE_RETRY, [SENT_NOTHING] = FATE_LATER};

	AppendCleanText(text, answer->failure, strlen(answer->failure), MAX_ERROR);
	return (Judgement){fates[answer->sent], answer->sent == SENT_WHOLE, GATEWAY_FAULTY, 0};
}

/*
 * How long the gateway wants to be left alone by a tenant, if an outcome says
 * that it has had enough; else 0.
 *
 *		{"Throttled": {"retry_after": {"secs": n, "nanos": n}}}
 */
static int64_t
limit_delay(const char *outcome, size_t len, const Buffer *tag)
{
	int64_t seconds;
	int64_t delay = 0;

	if (strcmp(BufferText(tag), "QuotaExceeded") == 0)
		delay = QUOTA_DELAY;
	else if (strcmp(BufferText(tag), "Throttled") == 0)
	{
		seconds = Earlier(JsonGetNumber(outcome, len, "secs"), MAX_DELAY / SECOND);
		delay = seconds > 0 ? seconds * SECOND : SECOND;
	}
	return delay;
}

/*
 * The gateway has decided: its outcome is kept as it came.
 */
static Judgement
judge_outcome(const Answer *answer, Judgement judgement, Buffer *text, Buffer *tag)
{
	int64_t delay;

	if (!JsonReadTag(answer->body, answer->len, tag))
	{
		append_error(answer, "the answer is not JSON: ", text);
		return (Judgement){FATE_DOUBT, true, GATEWAY_FAULTY, 0};
	}
	BufferAppend(text, answer->body, answer->len);
	delay = limit_delay(answer->body, answer->len, tag);
	if (delay > 0)
	{
		judgement.health = GATEWAY_LIMITS;
		judgement.delay = delay;
	}
	return judgement;
}

/*
 * Does an answer with this status and body refuse the signature of an action, or that it
 * has none?
 */
bool
IsAboutSignature(long status, const char *body, size_t len)
{
	Buffer words = {0};
	bool is_it = false;

	if (status != 400 || !JsonIsOnlyString(body, len, "error") ||
		!JsonGetString(body, len, "error", &words))
		return false;
	for (size_t i = 0; i < sizeof(signature_errors) / sizeof(signature_errors[0]); i++)
		is_it = is_it || (strncmp(BufferText(&words), signature_errors[i].start,
								  strlen(signature_errors[i].start)) == 0 &&
						  strstr(BufferText(&words), signature_errors[i].later) != NULL);
	BufferFree(&words);
	return is_it;
}

/*
 * Judge an answer, and append the outcome, or the error, which the database is to
 * keep unless the fate is FATE_LATER.  An outcome's tag is put into a buffer.
 */
Judgement
JudgeAnswer(const Answer *answer, Buffer *text, Buffer *tag)
{
	Judgement judgement;
	bool own_words = answer->is_json && JsonIsOnlyString(answer->body, answer->len, "error");
	bool is_json;
	long status;
	size_t i = 0;

	BufferClear(tag);
	if (answer->failure != NULL)
		return judge_failure(answer, text);
	status = IsAboutSignature(answer->status, answer->body, answer->len) ? STATUS_SIGNATURE
																		 : answer->status;
	while (status < table[i].first || status > table[i].last || (table[i].own_words && !own_words))
		i++;
	judgement = (Judgement){table[i].fate, table[i].seen, table[i].health, table[i].delay};
	if (answer->retry_after > 0 &&
		(judgement.health == GATEWAY_BUSY || judgement.health == GATEWAY_FAULTY))
		judgement.delay = Earlier(answer->retry_after, MAX_DELAY);
	switch (table[i].wording)
	{
		case OUTCOME:
			return judge_outcome(answer, judgement, text, tag);
		case DUPLICATE:
			is_json = JsonIsValid(answer->body, answer->len);
			BufferAppendText(text, "{\"AlreadyDispatched\": ");
			BufferAppend(text, is_json ? answer->body : "null", is_json ? answer->len : 4);
			BufferAppendChar(text, '}');
			break;
		case ERROR_TEXT:
			append_error(answer, NULL, text);
			break;
	}
	return judgement;
}
