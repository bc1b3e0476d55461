/*
 * kafka_conf.c
 *		Producers of Kafka, as the options want them.
 *
 * Options of librdkafka come from the command line and from a file, and the file can be
 * read again.  Some are ours alone: what they say is what a delivery means.  Those that
 * hold secrets come from the file only, and no error shows a value.
 */
#include "relay/kafka_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/secret.h"

/* Options that are not for the user, and where what they say comes from. */
static const struct
{
	const char *name;
	const char *why;
} our_options[] = {
	{"bootstrap.servers", "cannot be set: the brokers are those of --sink"},
	{"metadata.broker.list", "cannot be set: the brokers are those of --sink"},
	{"message.timeout.ms", "cannot be set: --request-timeout says it"},
	{"delivery.timeout.ms", "cannot be set: --request-timeout says it"},
	{"enable.idempotence", "cannot be set: the relay turns it on"},
	{"enable.gapless.guarantee", "cannot be set: the relay keeps the order"},
	{"transactional.id", "cannot be set: the relay uses no transactions"},
	{"acks", "cannot be set: all replicas in sync have to acknowledge"},
	{"request.required.acks", "cannot be set: all replicas in sync have to acknowledge"},
	{"log.queue", "cannot be set: the relay writes the log"},
};

/* Options that hold secrets. */
static const char *const secret_options[] = {
	"sasl.password",
	"ssl.key.password",
	"ssl.key.pem",
	"ssl.keystore.password",
	"sasl.oauthbearer.client.secret",
	"sasl.oauthbearer.config",
};

/* What we set where the user has not: the same partition for a key as Java's clients
 * choose; connections that fail soon are noticed soon; messages go out at once. */
static const char *const defaults[][2] = {
	{"client.id", "acteon-relay"},
	{"partitioner", "murmur2_random"},
	{"linger.ms", "0"},
	{"socket.keepalive.enable", "true"},
	{"socket.connection.setup.timeout.ms", "5000"},
	{"reconnect.backoff.max.ms", "1000"},
	{"topic.metadata.propagation.max.ms", "5000"},
};

/*
 * Why an option may not be set; NULL if it may.
 */
static const char *
why_not_ours(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(our_options) / sizeof(our_options[0]); i++)
	{
		if (strlen(our_options[i].name) == len && memcmp(our_options[i].name, name, len) == 0)
			return our_options[i].why;
	}
	return NULL;
}

/*
 * Why one of the options of the command line, NAME=VALUE each, may not stand there,
 * and its name, for the life of the program; NULL if all may.
 */
const char *
KafkaRefusedOption(const TextList *options, const char **name)
{
	for (int i = 0; i < options->count; i++)
	{
		const char *option = options->texts[i];
		size_t len = strcspn(option, "=");
		const char *why = why_not_ours(option, len);

		for (size_t j = 0; j < sizeof(secret_options) / sizeof(secret_options[0]); j++)
		{
			if (strlen(secret_options[j]) == len && memcmp(secret_options[j], option, len) == 0)
				why = "holds a secret: put it into --kafka-option-file";
		}
		if (why != NULL)
		{
			*name = Duplicate(option, len);
			return why;
		}
	}
	return NULL;
}

/*
 * Set an option.  False with an error, which does not show the value.
 */
static bool
set_option(rd_kafka_conf_t *conf, const char *name, const char *value, char **error)
{
	char why[512];

	switch (rd_kafka_conf_set(conf, name, value, why, sizeof(why)))
	{
		case RD_KAFKA_CONF_OK:
			return true;
		case RD_KAFKA_CONF_UNKNOWN:
			*error = Format("librdkafka has no option \"%s\"", name);
			return false;
		default:
			*error = Format("librdkafka refuses the value of \"%s\"", name);
			return false;
	}
}

/*
 * Set an option of the user: NAME=VALUE, which is changed.  Blanks around the name are
 * taken off, and a carriage return at the end.
 */
static bool
set_user_option(rd_kafka_conf_t *conf, char *option, char **error)
{
	char *name = option + strspn(option, " \t");
	char *value = strchr(name, '=');
	size_t len = strlen(option);
	const char *why;

	if (value == NULL || value == name)
	{
		*error = DuplicateText("a line is not NAME=VALUE");
		return false;
	}
	if (option[len - 1] == '\r')
		option[len - 1] = '\0';
	*value++ = '\0';
	name[strcspn(name, " \t")] = '\0';
	why = why_not_ours(name, strlen(name));
	if (why == NULL)
		return set_option(conf, name, value, error);
	*error = Format("\"%s\" %s", name, why);
	return false;
}

/*
 * Set the options of a file.
 */
static bool
set_file(rd_kafka_conf_t *conf, const char *path, char **error)
{
	Buffer text;
	char *rest;
	bool good = true;

	if (!SecretRead(path, &text, error))
		return false;
	rest = text.data;
	for (char *line; good && (line = strsep(&rest, "\n")) != NULL;)
	{
		char first = line[strspn(line, " \t\r")];

		if (first != '\0' && first != '#')
			good = set_user_option(conf, line, error);
	}
	BufferWipe(&text);
	return good;
}

/*
 * Set all options.
 */
static bool
set_all(rd_kafka_conf_t *conf, const Settings *settings, bool singly, char **error)
{
	char timeout[32];
	bool good = true;

	snprintf(timeout, sizeof(timeout), "%lld",
			 (long long) (settings->request_timeout / MILLISECOND));
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]) && good; i++)
		good = set_option(conf, defaults[i][0], defaults[i][1], error);
	if (good && settings->kafka_option_file != NULL)
		good = set_file(conf, settings->kafka_option_file, error);
	for (int i = 0; i < settings->kafka_options.count && good; i++)
	{
		char *option = DuplicateText(settings->kafka_options.texts[i]);

		good = set_user_option(conf, option, error);
		free(option);
	}
	return good && set_option(conf, "bootstrap.servers", settings->kafka_brokers, error) &&
		   set_option(conf, "message.timeout.ms", timeout, error) &&
		   (!singly || set_option(conf, "batch.num.messages", "1", error)) &&
		   set_option(conf, "enable.idempotence", "true", error) &&
		   set_option(conf, "acks", "all", error) && set_option(conf, "log.queue", "true", error);
}

/*
 * Make a producer, which tells of deliveries, errors and log lines as events, and sends
 * one message a request if it is to send singly.  NULL with an error, which the caller
 * frees.
 */
rd_kafka_t *
KafkaMakeProducer(const Settings *settings, bool singly, char **error)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *producer = NULL;
	char why[512] = "";

	*error = NULL;
	if (set_all(conf, settings, singly, error))
	{
		rd_kafka_conf_set_events(conf,
								 RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
		producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
		if (producer == NULL)
			*error = DuplicateText(why);
	}
	/* A producer has taken it over. */
	if (producer == NULL)
		rd_kafka_conf_destroy(conf);
	return producer;
}
