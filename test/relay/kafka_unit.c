/*
 * kafka_unit.c
 *		Tests of the sink that is a topic of Kafka, against the cluster that librdkafka
 *		itself plays, which can be told what to answer.
 */
#include "kafka_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/clock.h"
#include "common/loop.h"
#include "relay/kafka.h"
#include "relay/kafka_judge.h"
#include "tap.h"

/* Requests of Kafka's protocol. */
#define PRODUCE 0
#define INIT_PRODUCER_ID 22

#define TOPIC "replays"
#define MOST 50

/* How long a test waits for all answers. */
#define PATIENCE (30 * SECOND)

/* A cluster, a sink to it, and what has been answered. */
typedef struct Stage
{
	rd_kafka_t *host;
	rd_kafka_mock_cluster_t *cluster;
	Settings settings;
	Sink *sink;
	Action *actions[MOST];
	int fates[FATE_DOUBT + 1];
	Judgement last;
	Buffer text; /* of the last answer */
	Buffer tag;
} Stage;

/*
 * An answer has come.
 */
static void
answered(void *owner, Action *action, const Answer *answer, int64_t duration)
{
	Stage *stage = owner;

	(void) action;
	(void) duration;
	BufferClear(&stage->text);
	stage->last = stage->sink->kind->judge(answer, &stage->text, &stage->tag);
	stage->fates[stage->last.fate]++;
}

/*
 * The timer only wakes the loop up.
 */
static void
woken(void *owner)
{
	(void) owner;
}

/*
 * Set the stage: one broker, and a topic of one partition.
 *
 * A broker refuses what comes behind a request that failed, by its sequence number.  The
 * one played here takes it, and the producer concludes that the request before was
 * written, too: a test in which requests fail and others follow has one in flight.
 */
static void
begin(Stage *stage, int64_t request_timeout, bool one_in_flight)
{
	static char *option[] = {"max.in.flight=1"};

	char error[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	*stage = (Stage){0};
	/* The host has nobody to talk to, and would say so. */
	rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
	stage->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	stage->cluster = rd_kafka_mock_cluster_new(stage->host, 1);
	rd_kafka_mock_topic_create(stage->cluster, TOPIC, 1, 1);
	stage->settings = (Settings){
		.kafka_brokers = DuplicateText(rd_kafka_mock_cluster_bootstraps(stage->cluster)),
		.kafka_topic = DuplicateText(TOPIC),
		.kafka_options = {one_in_flight ? 1 : 0, option},
		.concurrency = MOST,
		.request_timeout = request_timeout,
	};
	for (int i = 0; i < MOST; i++)
	{
		stage->actions[i] = Allocate(sizeof(Action));
		stage->actions[i]->outbox_id = i;
		stage->actions[i]->expires_at = NEVER;
		snprintf(stage->actions[i]->action_id, sizeof(stage->actions[i]->action_id), "id-%d", i);
	}
	LoopStart();
	stage->sink = kafka_sink.open(&stage->settings, (SinkHandlers){stage, answered});
}

/*
 * Clear it.
 */
static void
end(Stage *stage)
{
	stage->sink->kind->close(stage->sink);
	LoopEnd();
	for (int i = 0; i < MOST; i++)
		free(stage->actions[i]);
	free(stage->settings.kafka_brokers);
	free(stage->settings.kafka_topic);
	BufferFree(&stage->text);
	BufferFree(&stage->tag);
	rd_kafka_mock_cluster_destroy(stage->cluster);
	rd_kafka_destroy(stage->host);
	/* Producers that were replaced are taken down by threads of their own.  If the program
	 * ended meanwhile, what they have not freed yet would look like a leak. */
	ok(rd_kafka_wait_destroyed((int) (PATIENCE / MILLISECOND)) == 0,
	   "kafka: nothing of it is left behind");
}

/*
 * Wait until all that was sent is answered.
 */
static void
wait_for_answers(Stage *stage)
{
	LoopTimer timer = {woken, NULL, NEVER, NULL};
	int64_t until = ClockNow() + PATIENCE;

	LoopAddTimer(&timer);
	while (stage->sink->in_flight > 0 && ClockNow() < until)
	{
		timer.due = until;
		LoopRunOnce();
	}
	LoopRemoveTimer(&timer);
}

/*
 * Send so many actions, without waiting.
 */
static void
send_some(Stage *stage, int count)
{
	memset(stage->fates, 0, sizeof(stage->fates));
	for (int i = 0; i < count; i++)
		stage->sink->kind->send(stage->sink, stage->actions[i], "{}", 2);
}

/*
 * The same, and wait for the answers.
 */
static void
deliver(Stage *stage, int count)
{
	send_some(stage, count);
	wait_for_answers(stage);
}

/*
 * How many messages the topic has.
 */
static int64_t
count_messages(Stage *stage)
{
	int64_t low = 0, high = 0;
	char error[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *reader;

	rd_kafka_conf_set(conf, "bootstrap.servers", stage->settings.kafka_brokers, NULL, 0);
	reader = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (rd_kafka_query_watermark_offsets(reader, TOPIC, 0, &low, &high, 10000) != 0)
		high = -1;
	rd_kafka_destroy(reader);
	return high - low;
}

/*
 * What an error becomes.
 */
static void
test_judgements(void)
{
	static const struct
	{
		rd_kafka_resp_err_t code;
		Sent sent;
		Fate fate;
		Health health;
	} cases[] = {
		{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, SENT_WHOLE, FATE_DOUBT, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SENT_WHOLE, FATE_DOUBT, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, SENT_WHOLE, FATE_DOUBT, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SENT_NOTHING, FATE_DEAD, GATEWAY_WORKS},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SENT_PART, FATE_LATER, GATEWAY_WORKS},
		{RD_KAFKA_RESP_ERR_INVALID_RECORD, SENT_PART, FATE_LATER, GATEWAY_WORKS},
		{RD_KAFKA_RESP_ERR__QUEUE_FULL, SENT_NOTHING, FATE_LATER, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, SENT_PART, FATE_LATER, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, SENT_PART, FATE_LATER, GATEWAY_FAULTY},
		{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, SENT_PART, FATE_LATER, GATEWAY_REFUSES},
		{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SENT_PART, FATE_LATER, GATEWAY_REFUSES},
		{RD_KAFKA_RESP_ERR__AUTHENTICATION, SENT_PART, FATE_LATER, GATEWAY_REFUSES},
		{RD_KAFKA_RESP_ERR_UNKNOWN, SENT_PART, FATE_RETRY, GATEWAY_FAULTY},
	};
	Buffer text = {0}, tag = {0};
	Judgement got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Answer answer = {.failure = "why", .status = cases[i].code, .sent = cases[i].sent};

		BufferClear(&text);
		got = KafkaJudge(&answer, &text, &tag);
		ok(got.fate == cases[i].fate && got.health == cases[i].health &&
			   got.seen == (cases[i].fate == FATE_DOUBT) && strcmp(text.data, "why") == 0,
		   "kafka: %s, sent %d", rd_kafka_err2name(cases[i].code), cases[i].sent);
	}
	BufferFree(&text);
	BufferFree(&tag);
}

/*
 * Messages are acknowledged, once each, also where a broker has to be asked again.
 */
static void
test_acknowledged(void)
{
	Stage stage;

	begin(&stage, 20 * SECOND, true);
	deliver(&stage, MOST);
	ok(stage.fates[FATE_ACK] == MOST && stage.last.seen, "kafka: all are acknowledged");
	ok(strncmp(stage.text.data, "{\"Published\": {\"topic\": \"" TOPIC "\", \"partition\": 0, ",
			   50) == 0,
	   "kafka: an outcome says where the message is: %s", stage.text.data);
	/* The mock would write a message twice that was written before an error. */
	rd_kafka_mock_push_request_errors(stage.cluster, PRODUCE, 3,
									  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
									  RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
									  RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
	deliver(&stage, 20);
	ok(stage.fates[FATE_ACK] == 20, "kafka: what can be tried again is");
	ok(count_messages(&stage) == MOST + 20, "kafka: the topic has each once");
	end(&stage);
}

/*
 * What may have been written, and never is acknowledged, is in doubt.
 */
static void
test_ambiguous(void)
{
	rd_kafka_resp_err_t errors[200];
	Stage stage;

	begin(&stage, 2 * SECOND, false);
	deliver(&stage, 1);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		errors[i] = RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
	rd_kafka_mock_push_request_errors_array(stage.cluster, PRODUCE, 200, errors);
	deliver(&stage, 5);
	ok(stage.fates[FATE_DOUBT] == 5, "kafka: what times out after it was sent is in doubt: %s",
	   stage.text.data);
	rd_kafka_mock_clear_request_errors(stage.cluster, PRODUCE);
	deliver(&stage, 5);
	ok(stage.fates[FATE_ACK] == 5, "kafka: what comes after it is acknowledged");
	end(&stage);
}

/*
 * What is broken off is in doubt, if it was sent.
 */
static void
test_abort(void)
{
	Stage stage;
	LoopTimer timer = {woken, NULL, NEVER, NULL};
	int64_t until;

	begin(&stage, 20 * SECOND, false);
	deliver(&stage, 1);
	rd_kafka_mock_broker_set_rtt(stage.cluster, 1, 15000);
	send_some(&stage, 3);
	until = ClockNow() + SECOND;
	LoopAddTimer(&timer);
	while (ClockNow() < until)
	{
		timer.due = until;
		LoopRunOnce();
	}
	LoopRemoveTimer(&timer);
	ok(stage.sink->in_flight == 3, "kafka: a slow broker is waited for");
	stage.sink->kind->abort(stage.sink, "broken off");
	ok(stage.sink->in_flight == 0 && stage.fates[FATE_DOUBT] == 3 &&
		   strstr(stage.text.data, "broken off") != NULL,
	   "kafka: what is broken off is in doubt: %s", BufferText(&stage.text));
	end(&stage);
}

/*
 * What waits for brokers that are away, and expires, is not written when they are back.
 */
static void
test_expired(void)
{
	LoopTimer timer = {woken, NULL, NEVER, NULL};
	int64_t until;
	Stage stage;

	begin(&stage, 20 * SECOND, false);
	deliver(&stage, 1);
	rd_kafka_mock_broker_set_down(stage.cluster, 1);
	until = ClockNow() + PATIENCE;
	LoopAddTimer(&timer);
	while (!stage.sink->is_away && ClockNow() < until)
	{
		timer.due = until;
		LoopRunOnce();
	}
	LoopRemoveTimer(&timer);
	ok(stage.sink->is_away, "kafka: it is known that all brokers have gone");
	stage.actions[1]->expires_at = ClockNow() + SECOND;
	deliver(&stage, 3);
	ok(stage.fates[FATE_LATER] == 3 && ClockNow() >= stage.actions[1]->expires_at &&
		   ClockNow() < stage.actions[1]->expires_at + 10 * SECOND,
	   "kafka: when one expires that was not sent, all that was not is given back: %s",
	   stage.text.data);
	rd_kafka_mock_broker_set_up(stage.cluster, 1);
	stage.actions[1]->expires_at = NEVER;
	deliver(&stage, 1);
	ok(stage.fates[FATE_ACK] == 1 && count_messages(&stage) == 2,
	   "kafka: none of it is written when they are back");
	/* What was sent in time is waited for. */
	rd_kafka_mock_broker_set_rtt(stage.cluster, 1, 1500);
	stage.actions[0]->expires_at = ClockNow() + SECOND;
	deliver(&stage, 1);
	ok(stage.fates[FATE_ACK] == 1, "kafka: what was sent in time is waited for");
	end(&stage);
}

/*
 * Let a sink be probed until it is reached, or is not, or time is up.
 */
static void
probe_until(Stage *stage, bool reached)
{
	LoopTimer timer = {woken, NULL, NEVER, NULL};
	int64_t until = ClockNow() + PATIENCE;

	LoopAddTimer(&timer);
	while ((stage->sink->reach == REACH_GOOD && !stage->sink->is_away) != reached &&
		   ClockNow() < until)
	{
		stage->sink->kind->probe(stage->sink);
		timer.due = ClockNow() + SECOND;
		LoopRunOnce();
	}
	LoopRemoveTimer(&timer);
}

/*
 * Brokers that have gone while there was nothing to send are known to be back, before and
 * after something was sent; what waits for them meanwhile is written once.
 */
static void
test_back(void)
{
	Stage stage;

	begin(&stage, 60 * SECOND, false);
	probe_until(&stage, true);
	ok(stage.sink->reach == REACH_GOOD, "kafka: it is reached before anything was sent");
	for (int round = 0; round < 2; round++)
	{
		rd_kafka_mock_broker_set_down(stage.cluster, 1);
		probe_until(&stage, false);
		ok(stage.sink->is_away, "kafka: an idle one is away");
		rd_kafka_mock_broker_set_up(stage.cluster, 1);
		probe_until(&stage, true);
		ok(!stage.sink->is_away && stage.sink->reach == REACH_GOOD, "kafka: and known to be back");
		deliver(&stage, 3);
		ok(stage.fates[FATE_ACK] == 3, "kafka: then it delivers");
	}
	rd_kafka_mock_broker_set_down(stage.cluster, 1);
	while (!stage.sink->is_away)
		LoopRunOnce();
	send_some(&stage, 3);
	stage.sink->kind->probe(stage.sink);
	ok(stage.sink->in_flight == 3 && stage.sink->reach == REACH_NONE,
	   "kafka: what waits for a producer keeps it");
	rd_kafka_mock_broker_set_up(stage.cluster, 1);
	wait_for_answers(&stage);
	ok(stage.fates[FATE_ACK] == 3 && !stage.sink->is_away && count_messages(&stage) == 9,
	   "kafka: and is written once when they are back: %s", stage.text.data);
	end(&stage);
}

/*
 * A broker refuses a request for one of its messages: only that one is at fault.
 */
static void
test_refused_request(void)
{
	Stage stage;

	begin(&stage, 20 * SECOND, false);
	deliver(&stage, 1);
	/* Those after the first are in one request, while that is under way. */
	rd_kafka_mock_broker_set_rtt(stage.cluster, 1, 100);
	rd_kafka_mock_push_request_errors(stage.cluster, PRODUCE, 1,
									  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	deliver(&stage, 10);
	ok(stage.fates[FATE_DEAD] == 0 && stage.fates[FATE_LATER] >= 1 &&
		   stage.fates[FATE_LATER] + stage.fates[FATE_ACK] == 10,
	   "kafka: none of a refused request is at fault yet");
	rd_kafka_mock_push_request_errors(stage.cluster, PRODUCE, 1,
									  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	deliver(&stage, 10);
	ok(stage.fates[FATE_DEAD] == 1 && stage.fates[FATE_ACK] + stage.fates[FATE_LATER] == 9,
	   "kafka: one by one, the one that is refused is dead");
	end(&stage);
}

/*
 * A producer that is of no more use is replaced.
 */
static void
test_fatal(void)
{
	Stage stage;

	begin(&stage, 20 * SECOND, false);
	rd_kafka_mock_push_request_errors(stage.cluster, INIT_PRODUCER_ID, 1,
									  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
	deliver(&stage, 3);
	ok(stage.fates[FATE_ACK] + stage.fates[FATE_LATER] == 3,
	   "kafka: a fatal error is nobody's fault: %s", stage.text.data);
	deliver(&stage, 3);
	ok(stage.fates[FATE_ACK] == 3, "kafka: another producer goes on: %s", stage.text.data);
	end(&stage);
}

/*
 * Nobody is there: what was not sent is given back soon.
 */
static void
test_nobody(void)
{
	Stage stage;
	int64_t from = ClockNow();

	begin(&stage, 20 * SECOND, false);
	stage.sink->kind->close(stage.sink);
	free(stage.settings.kafka_brokers);
	/* The discard port: nobody listens on it. */
	stage.settings.kafka_brokers = DuplicateText("127.0.0.1:9");
	stage.sink = kafka_sink.open(&stage.settings, (SinkHandlers){&stage, answered});
	deliver(&stage, 10);
	ok(stage.fates[FATE_LATER] == 10 && stage.last.health == GATEWAY_FAULTY && !stage.last.seen,
	   "kafka: without a broker all are given back: %s", stage.text.data);
	ok(ClockNow() - from < 15 * SECOND, "kafka: before the time-out");
	ok(stage.sink->is_away, "kafka: it is known to be away");
	end(&stage);
}

/*
 * All tests of the sink.
 */
void
TestKafka(void)
{
	test_judgements();
	test_acknowledged();
	test_ambiguous();
	test_abort();
	test_expired();
	test_back();
	test_refused_request();
	test_fatal();
	test_nobody();
}
