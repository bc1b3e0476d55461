/*
 * kafka_unit.h
 *		Tests of the sink that is a topic of Kafka.
 */
#ifndef KAFKA_UNIT_H
#define KAFKA_UNIT_H

extern void TestKafka(void);

#endif
