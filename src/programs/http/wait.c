/*
 * wait.c
 *		Waiting for deliveries: wait=SECONDS.
 *
 * A replay is committed before anybody waits for it, and nothing is held
 * meanwhile: now and then the database is asked, as the key's role, what became
 * of the actions.  Whatever goes wrong with that, the replay was made, so the
 * answer is then what is known.
 */
#include "http/server_int.h"

#include <stdlib.h>

#include "common/array.h"
#include "http/login.h"

#define FIRST_LOOK (20 * MILLISECOND)
#define SLOWEST_LOOK (500 * MILLISECOND)

/* A single replay is expected to take as long as the last one, and a part of that more,
 * since the time of a delivery is known from before its commit.  If it takes longer, the
 * next look is after another part of it, and so on. */
#define LATER_PART 16
#define AGAIN_PART 8
#define LEAST_DELAY MILLISECOND

/*
 * Does the client want to wait for something that there is?
 */
bool
WaitWanted(const Request *request)
{
	const char *wait = request->parameters.values[OPTION_WAIT];

	return request->route->can_wait && !ParameterIsTrue(&request->parameters, OPTION_DRY_RUN) &&
		   wait != NULL && strtod(wait, NULL) > 0;
}

/*
 * How long to wait before the first look, and in *delay before the second; all in
 * microseconds.  What is usual is how long the last delivery took, or 0 if that is not
 * known; it is of no use if it is longer than what is waited without it.
 */
int64_t
WaitFirstLook(int64_t usual, int64_t *delay)
{
	int64_t first = usual + usual / LATER_PART;

	if (usual <= 0 || first > FIRST_LOOK)
	{
		*delay = 2 * FIRST_LOOK;
		return FIRST_LOOK;
	}
	*delay = usual / AGAIN_PART > LEAST_DELAY ? usual / AGAIN_PART : LEAST_DELAY;
	return first;
}

/*
 * Is it one action whose delivery is waited for?
 */
static bool
is_single(const Request *request)
{
	return request->route->statement == STATEMENT_REPLAY;
}

/*
 * The request has waited long enough.
 */
static void
stop_waiting(Request *request)
{
	Server *server = request->server;

	for (Request **link = &server->waiting; *link != NULL; link = &(*link)->next_waiting)
	{
		if (*link == request)
		{
			*link = request->next_waiting;
			break;
		}
	}
	request->is_waiting = false;
	RequestIsAnswered(request);
}

/*
 * The database was asked.
 */
static void
looked(void *owner, PGresult *const *results, int count)
{
	Request *request = owner;
	Server *server = request->server;
	const char *sqlstate, *message;
	bool good = results != NULL;
	bool is_over = true;
	int64_t delivered_at = ClockNow();

	for (int i = 0; i < count; i++)
		good = good && !DatabaseFailed(results[i], &sqlstate, &message);
	if (good && PQntuples(results[1]) == 1)
	{
		BufferClear(&request->answer.body);
		BufferAppendText(&request->answer.body, PQgetvalue(results[1], 0, 0));
		is_over = PQgetvalue(results[1], 0, 1)[0] == '0';
		delivered_at -= TextToNumber(PQgetvalue(results[1], 0, 2));
	}
	WorkerRelease(request->job.worker);
	if (good && is_over && is_single(request))
		server->usual_wait = delivered_at - request->wait_from;
	if (is_over || server->stopping || request->is_abandoned || ClockNow() >= request->wait_until)
	{
		stop_waiting(request);
		return;
	}
	request->look_at = Earlier(ClockNow() + request->look_delay, request->wait_until);
	request->look_delay = Earlier(request->look_delay * 3 / 2, SLOWEST_LOOK);
}

/*
 * There is a worker to look with.
 */
static void
look(void *owner, Worker *worker)
{
	Request *request = owner;
	Statement statements[2];

	if (worker == NULL)
	{
		stop_waiting(request);
		return;
	}
	statements[0] = LoginStatement(request);
	statements[1] = StatementUse(STATEMENT_OUTCOMES);
	StatementAddText(&statements[1], BufferText(&request->answer.body));
	WorkerSend(worker, statements, 2, looked);
}

/*
 * Wait for the deliveries of a replay whose answer the request has.
 */
void
WaitStart(Request *request)
{
	Server *server = request->server;
	double seconds = strtod(request->parameters.values[OPTION_WAIT], NULL);
	int64_t now = ClockNow();
	int64_t first;

	request->is_waiting = true;
	request->wait_from = now;
	request->wait_until = now + (int64_t) (seconds * SECOND);
	first = WaitFirstLook(is_single(request) ? server->usual_wait : 0, &request->look_delay);
	request->look_at = Earlier(now + first, request->wait_until);
	request->next_waiting = server->waiting;
	server->waiting = request;
}

/*
 * Look for those that it is time for.  A server that stops lets nobody wait, nor
 * looks again: others that are under way may need the database.
 */
void
WaitAdvance(Server *server, int64_t now, int64_t *wake)
{
	for (Request *request = server->waiting, *next; request != NULL; request = next)
	{
		next = request->next_waiting;
		if (server->stopping && request->job.worker == NULL)
		{
			PoolWithdraw(server->pool, &request->job);
			stop_waiting(request);
			continue;
		}
		if (request->look_at == NEVER)
			continue;
		if (now < request->look_at)
		{
			*wake = Earlier(*wake, request->look_at);
			continue;
		}
		request->look_at = NEVER;
		request->job = (Job){.owner = request, .run = look};
		if (PoolSubmit(server->pool, &request->job, false) != POOL_TAKEN)
			stop_waiting(request);
	}
}

/*
 * The client has disconnected: stop waiting.
 */
void
WaitAbandon(Request *request)
{
	Server *server = request->server;

	PoolWithdraw(server->pool, &request->job);
	if (request->job.worker != NULL)
		WorkerCancel(request->job.worker);
	else
		stop_waiting(request);
}
