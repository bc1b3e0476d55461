/*
 * answer.c
 *		What an answer of the gateway becomes.
 *
 * One table by status.  Whatever is not in it is a fault of the gateway, or of
 * something between it and us, and the action is tried again.
 */
#include "answer.h"

#include <string.h>

#include "clock.h"
#include "json.h"

#define MAX_DELAY (60 * MINUTE)
#define MAX_QUOTED_BODY 500

/* How the text of a judgement is made. */
typedef enum Wording
{
	OUTCOME,    /* the body; no JSON is a fault */
	DUPLICATE,  /* {"AlreadyDispatched": the body} */
	ERROR_TEXT, /* "status: the error in the body" */
	NO_TEXT
} Wording;

static const struct
{
	long first;
	long last;
	bool with_retry_after; /* only if it has one */
	Fate fate;
	Health health;
	Wording wording;
	int64_t delay; /* where Retry-After does not say */
} table[] = {
	{200, 200, false, FATE_DELIVERED, GATEWAY_WORKS, OUTCOME, 0},
	{409, 409, false, FATE_DELIVERED, GATEWAY_WORKS, DUPLICATE, 0},
	{429, 429, false, FATE_LATER, GATEWAY_BUSY, NO_TEXT, SECOND},
	{503, 503, true, FATE_LATER, GATEWAY_BUSY, NO_TEXT, 0},
	{400, 400, false, FATE_DEAD, GATEWAY_WORKS, ERROR_TEXT, 0},
	{413, 413, false, FATE_DEAD, GATEWAY_WORKS, ERROR_TEXT, 0},
	{422, 422, false, FATE_DEAD, GATEWAY_WORKS, ERROR_TEXT, 0},
	{401, 401, false, FATE_LATER, GATEWAY_REFUSES, NO_TEXT, SECOND},
	{403, 403, false, FATE_RETRY, GATEWAY_FORBIDS, ERROR_TEXT, 0},
	{404, 405, false, FATE_LATER, GATEWAY_REFUSES, NO_TEXT, SECOND},
	{0, 999, false, FATE_RETRY, GATEWAY_FAULTY, ERROR_TEXT, 0},
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
 * Judge an answer, and append the outcome or the error that the database is to
 * keep.
 */
Judgement
JudgeAnswer(const Answer *answer, Buffer *text)
{
	Judgement fault = {FATE_RETRY, GATEWAY_FAULTY, 0};
	Judgement judgement;
	bool is_json;
	size_t i = 0;

	if (answer->failure != NULL)
	{
		AppendCleanText(text, answer->failure, strlen(answer->failure), MAX_ERROR);
		/* What the gateway has never seen says nothing about the action. */
		if (answer->unsent)
			fault.fate = FATE_LATER;
		return fault;
	}
	while (answer->status < table[i].first || answer->status > table[i].last ||
		   (table[i].with_retry_after && answer->retry_after <= 0))
		i++;
	judgement = (Judgement){table[i].fate, table[i].health, table[i].delay};
	if (judgement.health == GATEWAY_BUSY && answer->retry_after > 0)
		judgement.delay = Earlier(answer->retry_after, MAX_DELAY);
	switch (table[i].wording)
	{
		case OUTCOME:
			if (!JsonIsValid(answer->body, answer->len))
			{
				append_error(answer, "the answer is not JSON: ", text);
				return fault;
			}
			BufferAppend(text, answer->body, answer->len);
			break;
		case DUPLICATE:
			is_json = JsonIsValid(answer->body, answer->len);
			BufferAppendText(text, "{\"AlreadyDispatched\": ");
			BufferAppend(text, is_json ? answer->body : "null", is_json ? answer->len : 4);
			BufferAppendChar(text, '}');
			break;
		case ERROR_TEXT:
			append_error(answer, NULL, text);
			break;
		case NO_TEXT:
			break;
	}
	return judgement;
}
