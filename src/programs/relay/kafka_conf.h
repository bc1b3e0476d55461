/*
 * kafka_conf.h
 *		Producers of Kafka, as the options want them.
 */
#ifndef KAFKA_CONF_H
#define KAFKA_CONF_H

#include <librdkafka/rdkafka.h>

#include "relay/settings.h"

extern const char *KafkaRefusedOption(const TextList *options, const char **name);
extern rd_kafka_t *KafkaMakeProducer(const Settings *settings, bool singly, char **error);

#endif
