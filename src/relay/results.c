/*
 * results.c
 *		What became of actions, until the database knows.
 *
 * Results are recorded in slices from the front of a queue, and leave it when
 * the database has answered.  If the connection is lost in between they are
 * still there and are recorded again, which does no harm.
 */
#include "results.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"

#define MAX_SLICE 1000
#define MAX_SLICE_BYTES (16 * 1024 * 1024)

/* So much of an outcome that cannot be stored is kept. */
#define UNSTORABLE_KEPT 200

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
	int count = 0;

	if (queue->singles > 0)
		return 1;
	for (const Result *result = queue->first; result != NULL && count < MAX_SLICE;
		 result = result->next)
	{
		bytes += result->len;
		if (count > 0 && bytes > MAX_SLICE_BYTES)
			break;
		count++;
	}
	return count;
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
		Result *result = queue->first;

		queue->first = result->next;
		if (queue->first == NULL)
			queue->last = NULL;
		queue->count--;
		if (queue->singles > 0)
			queue->singles--;
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
	result->replaced = true;
	BufferFree(&text);
}

/*
 * Put the first result of a kind behind all others.
 */
static void
put_last(ResultQueue *queue)
{
	Result *result = queue->first;

	if (queue->singles > 0)
		queue->singles--;
	if (result == queue->last)
		return;
	queue->first = result->next;
	queue->last->next = result;
	queue->last = result;
	result->next = NULL;
}

/*
 * The database cannot store one of the first results.  Try them one by one; if
 * it was one, replace what it says.  Returns false if even that did not help:
 * then it has to wait, behind the others, until the database can.
 */
bool
ResultsUnstorable(Results *results, ResultKind kind, int count, const char *why)
{
	ResultQueue *queue = &results->queues[kind];
	Result *result = queue->first;

	if (count > 1)
		queue->singles = count;
	else if (!result->replaced && result->text != NULL)
	{
		Log(LOG_WARNING, "what was said about an action cannot be stored and is replaced",
			LogNumber("outbox_id", result->outbox_id), LogText("error", why));
		replace_text(results, kind, result);
	}
	else
	{
		put_last(queue);
		return false;
	}
	return true;
}

/*
 * Since when the oldest result waits.
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
	for (int kind = 0; kind < RESULT_KINDS; kind++)
		ResultsDrop(results, kind, results->queues[kind].count);
}
