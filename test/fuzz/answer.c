/*
 * answer.c
 *		Answers of the gateway: what is taken for its decision is JSON and is kept as it
 *		came, and only the statuses that say so mean that nothing was done.
 *
 * The first two bytes are the status, the third one its bits: the content type, Retry-After.
 *
 * Sources: relay/answer.c common/json.c common/buffer.c common/clock.c
 */
#include "fuzz.h"

#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "relay/answer.h"

/* What the answer must have been for a fate. */
static bool
may_become(const Answer *answer, Fate fate)
{
	switch (fate)
	{
		case FATE_ACK:
			return answer->status == 200 || answer->status == 409;
		case FATE_DEAD:
			return answer->status == 400 || answer->status == 413 || answer->status == 415 ||
				   answer->status == 422;
		case FATE_RETRY:
			return answer->status == 400 || answer->status == 403 ||
				   (answer->status == 500 && answer->is_json);
		case FATE_LATER:
			return answer->status == 401 || answer->status == 404 || answer->status == 405 ||
				   answer->status == 429;
		case FATE_DOUBT:
			return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Answer answer = {0};
	Buffer text = {0}, tag = {0};
	Judgement judgement;

	if (size < 3)
		return 0;
	answer.status = (data[0] << 8 | data[1]) % 1000;
	answer.is_json = (data[2] & 1) != 0;
	answer.retry_after = (data[2] & 2) != 0 ? (int64_t) data[2] * MINUTE : 0;
	answer.body = (const char *) data + 3;
	answer.len = size - 3;
	judgement = JudgeAnswer(&answer, &text, &tag);
	CHECK(may_become(&answer, judgement.fate));
	CHECK(IsUtf8(BufferText(&text), text.len));
	CHECK(judgement.delay >= 0 && judgement.delay <= 60 * MINUTE);
	if (judgement.fate == FATE_ACK)
		CHECK(JsonIsValid(text.data, text.len));
	else
		CHECK(text.len <= MAX_ERROR);
	if (judgement.fate == FATE_ACK && answer.status == 200)
		CHECK(text.len == answer.len && memcmp(text.data, answer.body, text.len) == 0);
	BufferFree(&text);
	BufferFree(&tag);
	return 0;
}
