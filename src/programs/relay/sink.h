/*
 * sink.h
 *		Where actions are delivered: the gateway, or a topic of Kafka.
 *
 * Everything that a relay does but how an action is sent and how the answer is
 * obtained and judged is the same for all sinks.
 */
#ifndef SINK_H
#define SINK_H

#include "relay/answer.h"
#include "relay/held.h"
#include "relay/settings.h"

typedef struct Sink Sink;

typedef struct SinkHandlers
{
	void *owner;
	/* Called once for each action that was sent.  The answer is good until the call
	 * returns; the duration is in microseconds. */
	void (*answered)(void *owner, Action *action, const Answer *answer, int64_t duration);
} SinkHandlers;

/* A kind of sink: what it does. */
typedef struct SinkKind
{
	const char *name;   /* in the log */
	bool is_stream;     /* somebody else executes what it takes, later */
	bool has_own_queue; /* so that it is not to be found out how much it can take at once */

	/* Get ready to send.  NULL, with an error logged, if a file or an option is wrong. */
	Sink *(*open)(const Settings *settings, SinkHandlers handlers);
	/* Read the files with secrets again, and use them from the next action on.  If one is
	 * wrong, which is logged, what was read before stays in use. */
	void (*reload)(Sink *sink);
	/* Send an action with this body, both of which must stay until the answer.  No more
	 * than --concurrency may be in flight. */
	void (*send)(Sink *sink, Action *action, const char *body, size_t len);
	/* Find out whether it can be reached, now or later, and note it in reach.  Does
	 * nothing while that is being found out. */
	void (*probe)(Sink *sink);
	/* Break off what is in flight, for a reason that the handlers are told.  Answers that
	 * have arrived count. */
	void (*abort)(Sink *sink, const char *why);
	/* Close everything; what is in flight is forgotten. */
	void (*close)(Sink *sink);
	/* What becomes of an action; see JudgeAnswer. */
	Judgement (*judge)(const Answer *answer, Buffer *text, Buffer *tag);
	/* What to do about a status with which it refuses us. */
	const char *(*hint)(long status);
} SinkKind;

/* Whether a sink can be reached. */
typedef enum SinkReach
{
	REACH_UNKNOWN,
	REACH_GOOD,
	REACH_NONE
} SinkReach;

/* The beginning of every sink. */
struct Sink
{
	const SinkKind *kind;
	SinkHandlers handlers;
	int in_flight;
	SinkReach reach;  /* the last time that it answered, or did not answer a probe */
	int64_t heard_at; /* when it last answered */
	bool is_away;     /* nothing can be sent now, and what is in flight waits */
};

/* sink.c */
extern const SinkKind *SinkKindOf(const Settings *settings);
extern const char *SinkPlace(const Settings *settings);

/* sink_reach.c */
extern void SinkIsReached(Sink *sink);
extern void SinkIsNotReached(Sink *sink, const char *why);

#endif
