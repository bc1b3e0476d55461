/*
 * results.c
 *		Results of actions, until they are recorded in the database.
 *
 * Results are recorded in slices from the front of a queue, and leave it when
 * the database has answered.  If the connection is lost in between they are
 * still there and are recorded again, which is harmless.
 *
 * A result that cannot be recorded must not hold up the others.  It is found by
 * recording the slice one by one.  If its content cannot be stored, that is
 * replaced; otherwise the reason may go away, so the result is parked and
 * retried after a while, without giving up.
 */
#include "relay/results.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

#define MAX_SLICE 1000
#define MAX_SLICE_BYTES (16 * 1024 * 1024)

/* So much of an outcome that cannot be stored is kept. */
#define UNSTORABLE_KEPT 200

/* After how long a parked result is tried again, at first and at last. */
#define FIRST_DELAY SECOND
#define LAST_DELAY MINUTE

/*
 * Add a result.  Its text, which is from malloc, belongs to the queue now.
 */
void
ResultsAdd(Results *results, ResultKind kind, const Result *result)
{
	ResultQueue *queue = &results->queues[kind];
	Result *copy = Reallocate(NULL, sizeof(Result));

	*copy = *result;
	copy->next = NULL;
	if (queue->last != NULL)
		queue->last->next = copy;
	else
		queue->first = copy;
	queue->last = copy;
	queue->count++;
	results->count++;
	results->bytes += copy->len;
}

/*
 * How many results to record at once.
 */
int
ResultsSlice(const Results *results, ResultKind kind)
{
	const ResultQueue *queue = &results->queues[kind];
	size_t bytes = 0;
	int most = results->most > 0 ? results->most : MAX_SLICE;
	int count = 0;

	if (queue->singles > 0)
		return 1;
	for (const Result *result = queue->first; result != NULL && count < most; result = result->next)
	{
		bytes += result->len;
		if (count > 0 && bytes > MAX_SLICE_BYTES)
			break;
		count++;
	}
	return count;
}

/*
 * Take the first result out of a queue.
 */
static Result *
take_first(ResultQueue *queue)
{
	Result *result = queue->first;

	queue->first = result->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->count--;
	if (queue->singles > 0)
		queue->singles--;
	return result;
}

/*
 * The first results are recorded.
 */
void
ResultsDrop(Results *results, ResultKind kind, int count)
{
	ResultQueue *queue = &results->queues[kind];

	for (int i = 0; i < count; i++)
	{
		Result *result = take_first(queue);

		results->count--;
		results->bytes -= result->len;
		free(result->text);
		free(result);
	}
}

/*
 * The text of a result cannot be stored: replace it by one that can.
 */
static void
replace_text(Results *results, ResultKind kind, Result *result)
{
	Buffer text = {0};
	size_t kept = result->len < UNSTORABLE_KEPT ? result->len : UNSTORABLE_KEPT;
	Buffer ascii = {0};

	/* What is left of it must be storable in a database of any encoding. */
	for (size_t i = 0; i < kept; i++)
		BufferAppendChar(&ascii, (result->text[i] & 0x80) != 0 ? '?' : result->text[i]);
	if (kind == RESULT_ACK)
	{
		BufferAppendText(&text, "{\"unstorable\": ");
		JsonAppendString(&text, BufferText(&ascii), ascii.len);
		BufferAppendChar(&text, '}');
	}
	else
		AppendCleanText(&text, BufferText(&ascii), ascii.len, kept);
	BufferFree(&ascii);
	results->bytes = results->bytes - result->len + text.len;
	free(result->text);
	result->text = DuplicateText(BufferText(&text));
	result->len = text.len;
	BufferFree(&text);
}

/*
 * One of the first results cannot be recorded: take them one by one.
 */
void
ResultsOneByOne(Results *results, ResultKind kind, int count)
{
	results->queues[kind].singles = count;
}

/*
 * The server does not take what the first result says: replace it by something
 * that it takes for certain.
 */
void
ResultsReplace(Results *results, ResultKind kind, const char *why)
{
	Result *result = results->queues[kind].first;

	Log(LOG_WARNING, "what was said about an action cannot be stored and is replaced",
		LogNumber("outbox_id", result->outbox_id), LogText("error", why));
	replace_text(results, kind, result);
}

/*
 * The first result of a kind cannot be recorded at present.
 */
void
ResultsPark(Results *results, ResultKind kind, int64_t now)
{
	ResultQueue *queue = &results->queues[kind];
	Result *result = take_first(queue);

	result->delay = result->delay == 0 ? FIRST_DELAY : Earlier(result->delay * 2, LAST_DELAY);
	result->not_before = now + Jittered(result->delay);
	result->kind = kind;
	result->next = results->parked;
	results->parked = result;
	results->parked_count++;
}

/*
 * Take parked results back whose time has come, each to be recorded by itself;
 * *wake is brought forward to the time of the next one.
 */
void
ResultsWake(Results *results, int64_t now, int64_t *wake)
{
	for (Result **link = &results->parked; *link != NULL;)
	{
		Result *result = *link;
		ResultQueue *queue = &results->queues[result->kind];

		if (now < result->not_before)
		{
			*wake = Earlier(*wake, result->not_before);
			link = &result->next;
			continue;
		}
		*link = result->next;
		results->parked_count--;
		result->next = queue->first;
		queue->first = result;
		if (queue->last == NULL)
			queue->last = result;
		queue->count++;
		queue->singles++;
	}
}

/*
 * To record so many took too long: take fewer.
 */
void
ResultsTooMany(Results *results, int count)
{
	results->most = count > 1 ? count / 2 : 1;
}

/*
 * What was taken has been recorded: take more again.
 */
void
ResultsRecorded(Results *results)
{
	if (results->most > 0)
		results->most = results->most * 2 < MAX_SLICE ? results->most * 2 : 0;
}

/*
 * Since when the oldest result waits that is not parked; NEVER if there is none.
 */
int64_t
ResultsOldest(const Results *results)
{
	int64_t oldest = NEVER;

	for (int kind = 0; kind < RESULT_KINDS; kind++)
	{
		if (results->queues[kind].first != NULL)
			oldest = Earlier(oldest, results->queues[kind].first->since);
	}
	return oldest;
}

/*
 * Forget all of them.
 */
void
ResultsFree(Results *results)
{
	int64_t never = NEVER;

	ResultsWake(results, NEVER, &never);
	for (int kind = 0; kind < RESULT_KINDS; kind++)
		ResultsDrop(results, kind, results->queues[kind].count);
}
