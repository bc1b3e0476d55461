/*
 * settings.h
 *		The options of the relay.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "common/log.h"
#include "common/options.h"
#include "common/socket.h"

/* What the key of a message of Kafka is. */
typedef enum KafkaKey
{
	KAFKA_KEY_FINGERPRINT, /* or the action id, of an action without one */
	KAFKA_KEY_ACTION_ID
} KafkaKey;

typedef struct Settings
{
	char *database;
	char *gateway_url;
	char *sink;          /* NULL: the gateway */
	char *kafka_brokers; /* of the sink: host:port, with commas between them */
	char *kafka_topic;   /* NULL: the sink is the gateway */
	KafkaKey kafka_key;
	TextList kafka_options; /* name=value */
	char *kafka_option_file;
	char *api_key_file;
	char *consumer;
	char *target;
	int concurrency;
	double share;
	int batch_size;
	int64_t lease;
	double max_rate;
	int64_t request_timeout;
	char *ca_file;
	char *client_cert;
	char *client_key;
	TextList payload_key_files;
	char *signing_key_file; /* NULL: actions are not signed */
	Address listen;         /* no text: none */
	char *metrics_file;
	LogLevel log_level;
	int64_t grace;
	bool drain;
	bool check;
	char *check_as;
	bool no_listen;
	bool trace;
} Settings;

extern void SettingsRead(Settings *settings, int argc, char **argv);

#endif
