/*
 * kafka.h
 *		Messages to a topic of Kafka.
 */
#ifndef KAFKA_H
#define KAFKA_H

#include "relay/sink.h"

extern const SinkKind kafka_sink;

#endif
