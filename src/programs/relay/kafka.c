/*
 * kafka.c
 *		Messages to a topic of Kafka.
 *
 * Each action becomes one message, which is over when librdkafka reports its delivery.
 * The producer is idempotent: while it lives, a message is written once however often it
 * is sent, so a report says what became of it unless it was sent and time is up, or the
 * producer is gone.
 *
 * librdkafka works in threads of its own and wakes the loop up through a descriptor when
 * it has something to tell.  All that is told is taken here, in the loop's thread.
 *
 * When all brokers go away, what is in flight waits for them, for as long as a report is
 * waited for: the producer that has sent it is the only one that can send it again
 * without writing it twice.  One that has never reached a broker has sent nothing, and
 * gives everything back at once.  When something that waits expires, what was not sent is
 * given back as well, all of it: librdkafka takes back no single message, and the next
 * producer has never reached a broker.  A producer is replaced when it is of no more use, and
 * stays until its last message is reported.
 *
 * A broker refuses all messages of a request together.  So after a refusal each is sent
 * in a request of its own for a while, until it is known which ones are refused.
 */
#include "relay/kafka.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "relay/kafka_conf.h"
#include "relay/kafka_judge.h"

/* How long to wait for the reports of what is broken off. */
#define ABORT_TIME (2 * SECOND)
#define ABORT_POLL_MS 50

/* From this level on, what librdkafka logs is worth a warning: LOG_CRIT of syslog. */
#define CRITICAL_LEVEL 2

/* How long messages are sent one by one after a request was refused. */
#define SINGLY_TIME MINUTE

typedef struct Kafka Kafka;

typedef struct Producer
{
	struct Producer *next;
	Kafka *kafka;
	rd_kafka_t *rk;
	rd_kafka_queue_t *events;
	int fd; /* readable when there are events */
	int in_flight;
	bool useless;             /* the next message needs another one */
	bool singly;              /* one message a request */
	bool has_expired;         /* something in flight has */
	bool has_worked;          /* something was acknowledged */
	bool is_away;             /* all brokers have gone, and nothing was acknowledged since */
	rd_kafka_resp_err_t code; /* of the last error that has come without a message; or 0 */
	char why[512];            /* the same in words */
} Producer;

/* A message that is not reported yet. */
typedef struct Message
{
	struct Message *next;
	struct Message *previous;
	Producer *producer; /* NULL: there was none */
	Action *action;     /* NULL: nobody waits for the report any more */
	int64_t sent_at;
	rd_kafka_resp_err_t code; /* why librdkafka did not even take it; or 0 */
	bool was_taken_back;      /* if that was possible, as it has expired */
} Message;

struct Kafka
{
	Sink sink;
	const Settings *settings;
	Producer *producers; /* the first is the present one, unless it is useless */
	Message *first;      /* in flight, in no order */
	LoopTimer refusals;  /* what librdkafka did not take is reported in the next round */
	LoopTimer expiry;    /* when the first in flight expires, or earlier */
	int64_t singly_until;
	const char *aborted; /* why what is in flight is broken off */
	char *complaint;     /* why no producer could be made, as logged; NULL: one was */
	Buffer text;
};

/* What a header of a message is called; the values are Action's. */
static const char *const fact_names[NUM_FACTS] = {
	[FACT_BATCH_ID] = "batch_id",       [FACT_ORIGINAL_ACTION_ID] = "original_action_id",
	[FACT_GENERATION] = "generation",   [FACT_NAMESPACE] = "namespace",
	[FACT_TENANT] = "tenant",           [FACT_PROVIDER] = "provider",
	[FACT_ACTION_TYPE] = "action_type", [FACT_FINGERPRINT] = "fingerprint",
};

/*
 * Forget a message that is in flight.
 */
static void
leave_flight(Kafka *kafka, Message *message)
{
	if (message->previous != NULL)
		message->previous->next = message->next;
	else
		kafka->first = message->next;
	if (message->next != NULL)
		message->next->previous = message->previous;
	if (message->producer != NULL)
		message->producer->in_flight--;
	kafka->sink.in_flight--;
}

/*
 * Tell what became of a message, and forget the action.
 */
static void
tell(Kafka *kafka, Message *message, const Answer *answer)
{
	Action *action = message->action;

	leave_flight(kafka, message);
	message->action = NULL;
	kafka->sink.handlers.answered(kafka->sink.handlers.owner, action, answer,
								  ClockNow() - message->sent_at);
}

/*
 * Tell that a message was not acknowledged: with the error that says most.  When it was
 * only taken back that is the one which made us take it back.
 */
static void
tell_failure(Kafka *kafka, Message *message, rd_kafka_resp_err_t code, bool may_be_kept)
{
	const Producer *producer = message->producer;
	const char *words = rd_kafka_err2str(code);
	Answer answer = {0};

	if (code == RD_KAFKA_RESP_ERR__PURGE_QUEUE && producer != NULL && producer->code != 0)
	{
		code = producer->code;
		words = producer->why;
	}
	else if (code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT && kafka->aborted != NULL)
		words = kafka->aborted;
	BufferClear(&kafka->text);
	BufferPrint(&kafka->text, "%s: %s", rd_kafka_err2name(code), words);
	answer.failure = BufferText(&kafka->text);
	answer.status = code;
	if (may_be_kept)
		answer.sent = SENT_WHOLE;
	else if (message->code != 0 || producer->singly)
		answer.sent = SENT_NOTHING;
	else
		answer.sent = SENT_PART;
	tell(kafka, message, &answer);
}

/*
 * Tell that a message is in the topic.  What was acknowledged under an earlier try has
 * no offset.
 */
static void
tell_success(Kafka *kafka, Message *message, const rd_kafka_message_t *report)
{
	Answer answer = {.status = KAFKA_ACKNOWLEDGED};

	BufferClear(&kafka->text);
	BufferPrint(&kafka->text, "{\"Published\": {\"topic\": \"%s\", \"partition\": %d, \"offset\": ",
				kafka->settings->kafka_topic, report->partition);
	if (report->offset >= 0)
		BufferPrint(&kafka->text, "%lld}}", (long long) report->offset);
	else
		BufferAppendText(&kafka->text, "null}}");
	answer.body = BufferText(&kafka->text);
	answer.len = kafka->text.len;
	tell(kafka, message, &answer);
}

/*
 * A message was acknowledged.
 */
static void
note_success(Producer *producer)
{
	producer->has_worked = true;
	producer->code = 0;
	producer->is_away = false;
	producer->kafka->sink.is_away = false;
}

/*
 * A message was not.  After that the producer may have lost count of what it has sent,
 * which it would find out with an error; so it is replaced.
 */
static void
note_failure(Producer *producer, rd_kafka_resp_err_t code)
{
	Kafka *kafka = producer->kafka;

	producer->useless = true;
	if (KafkaRefusesRequest(code))
		kafka->singly_until = ClockNow() + SINGLY_TIME;
}

/*
 * librdkafka reports a message.
 */
static void
take_report(Kafka *kafka, const rd_kafka_message_t *report)
{
	Message *message = report->_private;
	rd_kafka_msg_status_t kept = rd_kafka_message_status(report);

	/* Without an action, it was broken off. */
	if (message->action != NULL &&
		(report->err == RD_KAFKA_RESP_ERR_NO_ERROR || kept == RD_KAFKA_MSG_STATUS_PERSISTED))
	{
		note_success(message->producer);
		tell_success(kafka, message, report);
	}
	else if (message->action != NULL)
	{
		note_failure(message->producer, report->err);
		tell_failure(kafka, message, report->err,
					 kept != RD_KAFKA_MSG_STATUS_NOT_PERSISTED ||
						 report->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT);
	}
	free(message);
}

/*
 * Use a producer no more, and take back what it has not sent.
 */
static void
give_up(Producer *producer)
{
	producer->useless = true;
	(void) rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/*
 * All brokers are away.
 */
static void
note_absence(Producer *producer)
{
	Sink *sink = &producer->kafka->sink;

	if (!producer->has_worked)
		give_up(producer);
	else if (!sink->is_away)
		Log(LOG_WARNING, "kafka is away, what is in flight waits for it",
			LogNumber("in_flight", producer->in_flight), LogText("error", producer->why));
	producer->is_away = true;
	sink->is_away = true;
}

/*
 * librdkafka tells of an error that is no single message's.  Most are about a connection,
 * of which there may be others; those are kept as reasons.
 */
static void
take_error(Producer *producer, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);
	const char *why = rd_kafka_event_error_string(event);
	char fatal[sizeof(producer->why)];

	if (rd_kafka_event_error_is_fatal(event))
	{
		code = rd_kafka_fatal_error(producer->rk, fatal, sizeof(fatal));
		why = fatal;
		Log(LOG_WARNING, "the producer has to be replaced",
			LogText("error", rd_kafka_err2name(code)), LogText("why", why));
	}
	else
		Log(LOG_DEBUG, "error of Kafka", LogText("error", rd_kafka_err2name(code)),
			LogText("why", why));
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || producer->code == 0)
	{
		producer->code = code;
		snprintf(producer->why, sizeof(producer->why), "%s", why != NULL ? why : "");
	}
	if (rd_kafka_event_error_is_fatal(event))
		give_up(producer);
	else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		note_absence(producer);
}

/*
 * Write what librdkafka wants logged.
 */
static void
take_log(rd_kafka_event_t *event)
{
	const char *facility, *text;
	int level;

	if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
		Log(level <= CRITICAL_LEVEL ? LOG_WARNING : LOG_DEBUG, "librdkafka",
			LogText("facility", facility), LogText("text", text));
}

/*
 * Take one event.
 */
static void
take_event(Producer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *report;

	switch (rd_kafka_event_type(event))
	{
		case RD_KAFKA_EVENT_DR:
			while ((report = rd_kafka_event_message_next(event)) != NULL)
				take_report(producer->kafka, report);
			break;
		case RD_KAFKA_EVENT_ERROR:
			take_error(producer, event);
			break;
		case RD_KAFKA_EVENT_LOG:
			take_log(event);
			break;
		default:
			break;
	}
	rd_kafka_event_destroy(event);
}

/*
 * Take what there is, and wait so many milliseconds for the first of it.
 */
static void
take_events(Producer *producer, int wait)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(producer->events, wait)) != NULL)
	{
		take_event(producer, event);
		wait = 0;
	}
}

/*
 * Take a producer down, which waits for its threads.
 */
static void *
destroy(void *rk)
{
	rd_kafka_destroy(rk);
	return NULL;
}

/*
 * Let a producer go.  Its threads may be busy, so that is waited for elsewhere.
 */
static void
free_producer(Producer *producer, bool wait)
{
	pthread_t thread;

	rd_kafka_queue_io_event_enable(producer->events, -1, NULL, 0);
	rd_kafka_queue_destroy(producer->events);
	LoopForget(producer->fd);
	close(producer->fd);
	if (wait || pthread_create(&thread, NULL, destroy, producer->rk) != 0)
		destroy(producer->rk);
	else
		pthread_detach(thread);
	free(producer);
}

/*
 * Let those producers go that are useless and have nothing in flight.
 */
static void
free_useless(Kafka *kafka)
{
	Producer **link = &kafka->producers;

	while (*link != NULL)
	{
		Producer *producer = *link;

		if (!producer->useless || producer->in_flight > 0)
		{
			link = &producer->next;
			continue;
		}
		*link = producer->next;
		free_producer(producer, false);
	}
}

/*
 * librdkafka has written to our descriptor: there are events.
 */
static void
events_ready(void *owner, int fd, uint32_t events)
{
	Producer *producer = owner;
	Kafka *kafka = producer->kafka;
	uint64_t count;

	(void) events;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		Log(LOG_ERROR, "cannot read from an event descriptor", LogText("error", strerror(errno)));
	take_events(producer, 0);
	free_useless(kafka);
}

/*
 * Make a producer and let it be the present one.  NULL with an error, which the caller
 * frees.
 */
static Producer *
add_producer(Kafka *kafka, char **error)
{
	static const uint64_t one = 1;
	bool singly = ClockNow() < kafka->singly_until;
	rd_kafka_t *rk = KafkaMakeProducer(kafka->settings, singly, error);
	Producer *producer;

	if (rk == NULL)
		return NULL;
	producer = Allocate(sizeof(Producer));
	*producer = (Producer){.kafka = kafka, .rk = rk, .next = kafka->producers, .singly = singly};
	/* Readable from the start: librdkafka only tells of the first event in an empty queue,
	 * and some may be there by now. */
	producer->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (producer->fd < 0)
	{
		Log(LOG_ERROR, "cannot make an event descriptor", LogText("error", strerror(errno)));
		exit(1);
	}
	producer->events = rd_kafka_queue_get_main(rk);
	(void) rd_kafka_set_log_queue(rk, NULL);
	LoopKeep(producer->fd);
	LoopWatch(producer->fd, EPOLLIN, events_ready, producer);
	rd_kafka_queue_io_event_enable(producer->events, producer->fd, &one, sizeof(one));
	kafka->producers = producer;
	return producer;
}

/*
 * Make a producer, as add_producer does.  Why that cannot be is logged once for each reason,
 * however often it is tried, until one can be made.
 */
static Producer *
try_producer(Kafka *kafka)
{
	char *error;
	Producer *producer = add_producer(kafka, &error);

	if (error != NULL && (kafka->complaint == NULL || strcmp(error, kafka->complaint) != 0))
		Log(LOG_ERROR, "cannot use the options for Kafka", LogText("error", error));
	free(kafka->complaint);
	kafka->complaint = error;
	return producer;
}

/*
 * The producer that is to send; NULL if none can be made.
 */
static Producer *
present_producer(Kafka *kafka)
{
	Producer *producer = kafka->producers;

	if (producer != NULL && producer->singly && ClockNow() >= kafka->singly_until)
		producer->useless = true;
	if (producer != NULL && !producer->useless)
		return producer;
	return try_producer(kafka);
}

/*
 * Report what librdkafka did not take.
 */
static void
report_refusals(void *owner)
{
	Kafka *kafka = owner;
	Message *next;

	for (Message *message = kafka->first; message != NULL; message = next)
	{
		next = message->next;
		if (message->code == 0)
			continue;
		tell_failure(kafka, message, message->code, false);
		free(message);
	}
}

/*
 * Actions in flight have expired, perhaps: those that were not sent must not be any more.
 * What was sent may have been written, and is waited for.
 */
static void
take_back_expired(void *owner)
{
	Kafka *kafka = owner;
	int64_t now = ClockNow();

	kafka->expiry.due = NEVER;
	for (Message *message = kafka->first; message != NULL; message = message->next)
	{
		if (message->producer == NULL || message->was_taken_back)
			continue;
		if (message->action->expires_at <= now)
			message->producer->has_expired = message->was_taken_back = true;
		else
			kafka->expiry.due = Earlier(kafka->expiry.due, message->action->expires_at);
	}
	for (Producer *producer = kafka->producers; producer != NULL; producer = producer->next)
	{
		if (producer->has_expired)
			give_up(producer);
		producer->has_expired = false;
	}
}

/*
 * Add a header with a text.
 */
static void
add_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
	if (value != NULL)
		rd_kafka_header_add(headers, name, -1, value, (ssize_t) strlen(value));
}

/*
 * The headers of an action.
 */
static rd_kafka_headers_t *
make_headers(const Action *action)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(NUM_FACTS + 5);
	char outbox_id[32];

	snprintf(outbox_id, sizeof(outbox_id), "%lld", (long long) action->outbox_id);
	add_header(headers, "action_id", action->action_id);
	add_header(headers, "outbox_id", outbox_id);
	if (action->trace.parent[0] != '\0')
		add_header(headers, "traceparent", action->trace.parent);
	if (action->trace.state.len > 0)
		add_header(headers, "tracestate", action->trace.state.data);
	if (action->facts == NULL)
		return headers;
	for (int fact = 0; fact < NUM_FACTS; fact++)
		add_header(headers, fact_names[fact], action->facts->texts[fact]);
	add_header(headers, "replayed_from", action->facts->texts[FACT_ORIGINAL_ACTION_ID]);
	return headers;
}

/*
 * The key of an action.
 */
static const char *
key_of(const Kafka *kafka, const Action *action)
{
	if (kafka->settings->kafka_key == KAFKA_KEY_FINGERPRINT && action->facts != NULL &&
		action->facts->texts[FACT_FINGERPRINT] != NULL)
		return action->facts->texts[FACT_FINGERPRINT];
	return action->action_id;
}

/*
 * Give a message to librdkafka, which copies it.  Returns why it does not take it.
 */
static rd_kafka_resp_err_t
produce(Kafka *kafka, Message *message, const char *body, size_t len)
{
	const char *key = key_of(kafka, message->action);
	rd_kafka_headers_t *headers = make_headers(message->action);
	rd_kafka_resp_err_t code =
		rd_kafka_producev(message->producer->rk, RD_KAFKA_V_TOPIC(kafka->settings->kafka_topic),
						  RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE((void *) body, len),
						  RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_OPAQUE(message), RD_KAFKA_V_END);

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_headers_destroy(headers);
	return code;
}

/*
 * Look whether a broker has told of its cluster, which each does when it is connected to,
 * and whether any is there.  A producer remembers what it was told: after an absence that
 * proves nothing, and one that has nothing in flight gives way to one that knows nothing.
 */
static void
probe_kafka(Sink *sink)
{
	Kafka *kafka = (Kafka *) sink;
	Producer *producer = present_producer(kafka);
	char *cluster;

	if (producer != NULL && producer->is_away && producer->in_flight == 0)
	{
		producer->useless = true;
		producer = present_producer(kafka);
		free_useless(kafka);
	}
	cluster = producer != NULL ? rd_kafka_clusterid(producer->rk, 0) : NULL;
	if (cluster != NULL && !producer->is_away)
	{
		sink->is_away = false;
		SinkIsReached(sink);
	}
	else if (sink->is_away || sink->reach == REACH_GOOD)
		SinkIsNotReached(sink, producer != NULL ? producer->why : "");
	if (cluster != NULL)
		rd_kafka_mem_free(producer->rk, cluster);
}

/*
 * Send an action.
 */
static void
send_message(Sink *sink, Action *action, const char *body, size_t len)
{
	Kafka *kafka = (Kafka *) sink;
	Message *message = Allocate(sizeof(Message));

	*message = (Message){.producer = present_producer(kafka),
						 .action = action,
						 .sent_at = ClockNow(),
						 .next = kafka->first};
	if (kafka->first != NULL)
		kafka->first->previous = message;
	kafka->first = message;
	sink->in_flight++;
	message->code = RD_KAFKA_RESP_ERR__INVALID_ARG;
	if (message->producer != NULL)
	{
		message->producer->in_flight++;
		message->code = produce(kafka, message, body, len);
	}
	if (message->code != 0)
		kafka->refusals.due = ClockNow();
	kafka->expiry.due = Earlier(kafka->expiry.due, action->expires_at);
}

/*
 * Read the file with options again, and use them from the next message on.
 */
static void
reload_options(Sink *sink)
{
	Kafka *kafka = (Kafka *) sink;
	Producer *old = kafka->producers;

	if (kafka->settings->kafka_option_file == NULL)
		return;
	/* Whoever asks for this wants to know. */
	free(kafka->complaint);
	kafka->complaint = NULL;
	if (try_producer(kafka) != NULL && old != NULL)
		old->useless = true;
	free_useless(kafka);
}

/*
 * Get ready to send.
 */
static Sink *
open_kafka(const Settings *settings, SinkHandlers handlers)
{
	Kafka *kafka = Allocate(sizeof(Kafka));

	*kafka = (Kafka){.sink = {.kind = &kafka_sink, .handlers = handlers}, .settings = settings};
	if (settings->kafka_option_file != NULL)
		SecretWarnIfExposed(settings->kafka_option_file);
	if (present_producer(kafka) == NULL)
	{
		free(kafka->complaint);
		free(kafka);
		return NULL;
	}
	kafka->refusals = (LoopTimer){report_refusals, kafka, NEVER, NULL};
	LoopAddTimer(&kafka->refusals);
	kafka->expiry = (LoopTimer){take_back_expired, kafka, NEVER, NULL};
	LoopAddTimer(&kafka->expiry);
	return &kafka->sink;
}

/*
 * Break off what is in flight.  What was not sent is known not to be; of the rest a
 * report may still be on its way to us.
 */
static void
abort_messages(Sink *sink, const char *why)
{
	Kafka *kafka = (Kafka *) sink;
	int64_t until = ClockNow() + ABORT_TIME;

	kafka->aborted = why;
	report_refusals(kafka);
	for (Producer *producer = kafka->producers; producer != NULL; producer = producer->next)
	{
		take_events(producer, 0);
		if (producer->in_flight > 0)
			(void) rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		producer->useless = true;
		while (producer->in_flight > 0 && ClockNow() < until)
			take_events(producer, ABORT_POLL_MS);
	}
	/* Their reports, if any come, are freed with what they are about. */
	while (kafka->first != NULL)
		tell_failure(kafka, kafka->first, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, true);
	kafka->aborted = NULL;
}

/*
 * Close everything; what is in flight is forgotten.
 */
static void
close_kafka(Sink *sink)
{
	Kafka *kafka = (Kafka *) sink;

	for (Producer *next, *producer = kafka->producers; producer != NULL; producer = next)
	{
		next = producer->next;
		free_producer(producer, true);
	}
	LoopRemoveTimer(&kafka->expiry);
	LoopRemoveTimer(&kafka->refusals);
	BufferFree(&kafka->text);
	free(kafka->complaint);
	free(kafka);
}

const SinkKind kafka_sink = {
	.name = "kafka",
	.is_stream = true,
	.has_own_queue = true,
	.open = open_kafka,
	.reload = reload_options,
	.send = send_message,
	.probe = probe_kafka,
	.abort = abort_messages,
	.close = close_kafka,
	.judge = KafkaJudge,
	.hint = KafkaHint,
};
