/*
 * pool.h
 *		The connections to the database, and the queue for them.
 *
 * worker: a connection. job: something that needs one for a while.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "http/settings.h"
#include "http/statements.h"

typedef struct Pool Pool;
typedef struct Worker Worker;
typedef struct Job Job;

/* Belongs to its owner, who sets the fields before worker. */
struct Job
{
	void *owner;
	/* Called once for a job that was taken, perhaps at once: with a worker, which
	 * it must give back, or with NULL if it has waited too long. */
	void (*run)(void *owner, Worker *worker);
	bool is_long;   /* only half of the workers may have such jobs at a time */
	Worker *worker; /* that has it now */
	bool queued;
	int64_t since;
	Job *next;
};

/* What becomes of a job. */
typedef enum PoolAnswer
{
	POOL_TAKEN,
	POOL_FULL, /* too many are waiting */
	POOL_DOWN  /* there is no database */
} PoolAnswer;

/* Results of statements, for a job's owner: NULL if the connection was lost. */
typedef void (*WorkerDone)(void *owner, PGresult *const *results, int count);

typedef struct PoolFigures
{
	int ready; /* connections that stand */
	int busy;
	int queued;
	int64_t reconnects;
} PoolFigures;

extern Pool *PoolOpen(const Settings *settings);
extern void PoolClose(Pool *pool);
extern PoolAnswer PoolSubmit(Pool *pool, Job *job, bool urgent);
extern void PoolWithdraw(Pool *pool, Job *job);
extern void PoolAdvance(Pool *pool, int64_t now, int64_t *wake);
extern void PoolBreakOff(Pool *pool);
extern PoolFigures PoolCount(const Pool *pool);

extern void WorkerSend(Worker *worker, const Statement *statements, int count, WorkerDone done);
extern void WorkerCancel(Worker *worker);
extern void WorkerRelease(Worker *worker);

#endif
