/*
 * kafka_judge.c
 *		What becomes of an action by what a broker of Kafka says.
 *
 * An acknowledged message is delivered: the topic has it, on all replicas in sync, and
 * whoever reads it goes on with it.  For one that is not, librdkafka tells whether the
 * brokers can have kept it.  If they can, the action is in doubt, whatever the error; if
 * they cannot, the error tells whose fault that is.
 */
#include "relay/kafka_judge.h"

#include <string.h>

#include <librdkafka/rdkafka.h>

#include "common/clock.h"
#include "common/json.h"

/* What an error says about a message that was not kept, and about Kafka. */
static const struct
{
	rd_kafka_resp_err_t code;
	Fate fate;
	Health health;
} table[] = {
	/* The message's own fault, or that of another in the same request. */
	{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, FATE_DEAD, GATEWAY_WORKS},
	{RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, FATE_DEAD, GATEWAY_WORKS},
	{RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, FATE_DEAD, GATEWAY_WORKS},
	{RD_KAFKA_RESP_ERR_INVALID_RECORD, FATE_DEAD, GATEWAY_WORKS},
	{RD_KAFKA_RESP_ERR_POLICY_VIOLATION, FATE_DEAD, GATEWAY_WORKS},
	/* Ours: the topic, the credentials or the rights are wrong. */
	{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_SECURITY_DISABLED, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__AUTHENTICATION, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__SSL, FATE_LATER, GATEWAY_REFUSES},
	{RD_KAFKA_RESP_ERR__INVALID_ARG, FATE_LATER, GATEWAY_REFUSES},
	/* Kafka's: nobody is there, it cannot take anything now, or it takes too long. */
	{RD_KAFKA_RESP_ERR__TRANSPORT, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__RESOLVE, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__TIMED_OUT, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__QUEUE_FULL, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__PURGE_QUEUE, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__FATAL, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR__DESTROY, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, FATE_LATER, GATEWAY_FAULTY},
	{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, FATE_LATER, GATEWAY_FAULTY},
};

/*
 * What the table has of an error; -1 if nothing.
 */
static int
find(long status)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		if ((long) table[i].code == status)
			return (int) i;
	}
	return -1;
}

/*
 * Is an error about what a message is, so that a broker has refused all messages of the
 * request for one of them?
 */
bool
KafkaRefusesRequest(long status)
{
	int place = find(status);

	return place >= 0 && table[place].fate == FATE_DEAD;
}

/*
 * Judge the error of a message that was not kept.  One that was refused together with
 * others is tried again.  An error that is not in the table uses up an attempt.
 */
static Judgement
judge_not_kept(const Answer *answer)
{
	int place = find(answer->status);
	Judgement judgement = {FATE_RETRY, false, GATEWAY_FAULTY, 0};

	if (place < 0)
		return judgement;
	judgement.fate = table[place].fate;
	judgement.health = table[place].health;
	if (judgement.fate == FATE_DEAD && answer->sent != SENT_NOTHING)
		judgement.fate = FATE_LATER;
	if (judgement.fate == FATE_LATER && judgement.health != GATEWAY_FAULTY)
		judgement.delay = SECOND;
	return judgement;
}

/*
 * Judge what a broker says of a message, and append the outcome or the error, as
 * JudgeAnswer does.  Of an answer with a failure, sent says what the brokers can have
 * kept: SENT_WHOLE, all of it; SENT_PART, nothing; SENT_NOTHING, nothing, and no other
 * message was in the request.
 */
Judgement
KafkaJudge(const Answer *answer, Buffer *text, Buffer *tag)
{
	BufferClear(tag);
	if (answer->failure == NULL)
	{
		BufferAppend(text, answer->body, answer->len);
		return (Judgement){FATE_ACK, true, GATEWAY_WORKS, 0};
	}
	AppendCleanText(text, answer->failure, strlen(answer->failure), MAX_ERROR);
	if (answer->sent == SENT_WHOLE)
		return (Judgement){FATE_DOUBT, true, GATEWAY_FAULTY, 0};
	return judge_not_kept(answer);
}

/*
 * What to do about an error with which Kafka refuses us.
 */
const char *
KafkaHint(long status)
{
	switch (status)
	{
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
			return "create the topic, or check its name in --sink";
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return "the principal needs DESCRIBE and WRITE on the topic";
		default:
			return "check security.protocol, sasl.* and ssl.* in the options for Kafka";
	}
}
