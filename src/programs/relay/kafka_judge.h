/*
 * kafka_judge.h
 *		What becomes of an action by what a broker of Kafka says.
 */
#ifndef KAFKA_JUDGE_H
#define KAFKA_JUDGE_H

#include "relay/answer.h"

/* The status of an answer that says that the message was acknowledged; of others it is
 * librdkafka's code of the error. */
#define KAFKA_ACKNOWLEDGED 200

extern Judgement KafkaJudge(const Answer *answer, Buffer *text, Buffer *tag);
extern bool KafkaRefusesRequest(long status);
extern const char *KafkaHint(long status);

#endif
