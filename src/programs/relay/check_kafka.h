/*
 * check_kafka.h
 *		--check: whether Kafka and the topic can be used.
 */
#ifndef CHECK_KAFKA_H
#define CHECK_KAFKA_H

#include "relay/settings.h"

extern void CheckKafka(const Settings *settings);

#endif
