/*
 * limit.h
 *		The limit of what is in flight, src/programs/relay/limit.c, by its contract: it is from one
 *		to the most, and spreads what is sent by little.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include "prove.h"

#include "common/clock.h"

typedef struct Limit
{
	int most;
	int limit;
	int64_t send_from;
} Limit;

static inline void
any_limit(Limit *limit, int64_t now)
{
	limit->limit = nondet_int();
	ASSUME(limit->limit >= 1 && limit->limit <= limit->most);
	limit->send_from = nondet_int64();
	ASSUME(limit->send_from >= 0 && limit->send_from <= now + 20 * MILLISECOND);
}

static inline void
LimitStart(Limit *limit, int initial, int most, double share, int64_t now)
{
	(void) initial, (void) share;
	limit->most = most;
	any_limit(limit, now);
}

static inline void
LimitRestart(Limit *limit, int initial, int64_t now)
{
	(void) initial;
	any_limit(limit, now);
}

static inline int
LimitNow(const Limit *limit)
{
	return limit->limit;
}

static inline int64_t
LimitSendFrom(const Limit *limit)
{
	return limit->send_from;
}

static inline void
LimitSent(Limit *limit, int64_t now)
{
	any_limit(limit, now);
}

static inline void
LimitEnded(Limit *limit, int64_t now)
{
	any_limit(limit, now);
}

static inline void
LimitTimed(Limit *limit, uint64_t key, int64_t duration, int64_t now)
{
	(void) key, (void) duration;
	any_limit(limit, now);
}

static inline void
LimitRefused(Limit *limit, int64_t sent_at, int64_t now)
{
	PROVE(sent_at <= now);
	any_limit(limit, now);
}

#endif
