/*
 * check_kafka.c
 *		--check: whether Kafka and the topic can be used.
 *
 * All topics are asked for and not only ours, since a broker may create one that is
 * asked for by name.
 */
#include "relay/check_kafka.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/report.h"
#include "relay/kafka_conf.h"
#include "relay/kafka_judge.h"

/* How long the brokers may take. */
#define MAX_TRY_TIME (10 * SECOND)

/*
 * What has kept us from the brokers: the last error that was told, but for the one
 * which only says that all are away.
 */
static char *
last_error(rd_kafka_t *rk, rd_kafka_resp_err_t code)
{
	rd_kafka_queue_t *events = rd_kafka_queue_get_main(rk);
	char *text = NULL;
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(events, 0)) != NULL)
	{
		rd_kafka_resp_err_t told = rd_kafka_event_error(event);

		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR &&
			(text == NULL || told != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN))
		{
			free(text);
			text = Format("%s: %s", rd_kafka_err2name(told), rd_kafka_event_error_string(event));
		}
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(events);
	return text != NULL ? text : DuplicateText(rd_kafka_err2str(code));
}

/*
 * The least number of replicas that a partition has in sync.
 */
static int
least_in_sync(const rd_kafka_metadata_topic_t *topic)
{
	int least = topic->partition_cnt > 0 ? topic->partitions[0].isr_cnt : 0;

	for (int i = 1; i < topic->partition_cnt; i++)
		least = topic->partitions[i].isr_cnt < least ? topic->partitions[i].isr_cnt : least;
	return least;
}

/*
 * Report how the topic is.
 */
static void
report_topic(const Settings *settings, const rd_kafka_metadata_t *metadata)
{
	const rd_kafka_metadata_topic_t *topic = NULL;

	for (int i = 0; i < metadata->topic_cnt && topic == NULL; i++)
	{
		if (strcmp(metadata->topics[i].topic, settings->kafka_topic) == 0)
			topic = &metadata->topics[i];
	}
	if (topic == NULL)
		ReportBad("topic", "there is none of the name in --sink, or we may not see it",
				  KafkaHint(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
	else if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		ReportBad("topic", rd_kafka_err2str(topic->err), KafkaHint(topic->err));
	else
		ReportGood("topic: %s has %d partitions, each with %d replicas in sync or more",
				   topic->topic, topic->partition_cnt, least_in_sync(topic));
}

/*
 * Check Kafka: the options, the brokers, the topic.  Nothing is written.
 */
void
CheckKafka(const Settings *settings)
{
	const int timeout = (int) (Earlier(settings->request_timeout, MAX_TRY_TIME) / MILLISECOND);
	const rd_kafka_metadata_t *metadata = NULL;
	rd_kafka_resp_err_t code;
	char *error;
	rd_kafka_t *rk = KafkaMakeProducer(settings, false, &error);

	if (rk == NULL)
	{
		ReportBad("options for Kafka", error, "check --kafka-option and --kafka-option-file");
		free(error);
		return;
	}
	(void) rd_kafka_set_log_queue(rk, NULL);
	code = rd_kafka_metadata(rk, 1, NULL, &metadata, timeout);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		error = last_error(rk, code);
		ReportBad("Kafka", error, "check the brokers in --sink, and the options for Kafka");
		free(error);
	}
	else
	{
		ReportGood("Kafka: %s, %d brokers", settings->kafka_brokers, metadata->broker_cnt);
		report_topic(settings, metadata);
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_destroy(rk);
}
