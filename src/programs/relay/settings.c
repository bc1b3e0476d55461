/*
 * settings.c
 *		The options of the relay, and checks that they fit together.
 */
#include "relay/settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/target_name.h"
#include "common/buffer.h"
#include "common/clock.h"
#include "common/connect.h"
#include "query/options.h"
#ifdef WITH_KAFKA
#include "relay/kafka_conf.h"
#endif

/* Where an option's value goes. */
#define PLACE(field) offsetof(Settings, field)

#define MAX_CONSUMER 200

/* What a target was expected to be. */
#define LONGEST_TARGET NUMBER_TEXT(TARGET_MAXLEN)
#define NO_TARGET \
	"a name of at most " LONGEST_TARGET " lower-case letters, digits, _ and -, with a letter first"

static const char *read_consumer(const Option *option, const char *text, void *place);
static const char *read_target(const Option *option, const char *text, void *place);
static const char *read_listen(const Option *option, const char *text, void *place);
static const char *read_share(const Option *option, const char *text, void *place);
static const char *read_kafka_key(const Option *option, const char *text, void *place);
static const char *read_kafka_option(const Option *option, const char *text, void *place);

static const Option options[] = {
	{"Connections", "database", "CONNINFO", "",
	 "The database, as a connection string or URI. Missing parameters are taken from libpq's "
	 "environment variables (PGHOST, PGDATABASE, ...), service and password files.",
	 ReadConninfo, PLACE(database), 0, 0, true},
	{NULL, "gateway-url", "URL", NULL,
	 "URL of the gateway: http or https, a host, and optionally a port and a path, to which "
	 "/v1/dispatch is appended. Required, unless there is a --sink.",
	 ReadText, PLACE(gateway_url), 0, 0, false},
	{NULL, "sink", "URL", "",
	 "Deliver to a topic of Kafka instead of the gateway: kafka://HOST:PORT[,HOST:PORT...]/TOPIC.",
	 ReadText, PLACE(sink), 0, 0, false},
	{NULL, "api-key-file", "FILE", "",
	 "A file with the API key for the gateway, which is sent as Authorization: Bearer. Read again "
	 "on SIGHUP.",
	 ReadText, PLACE(api_key_file), 0, 0, false},
	{NULL, "consumer", "NAME", NULL,
	 "Name of this relay in the queue, at most 200 bytes. The default is the host name and the "
	 "process id.",
	 read_consumer, PLACE(consumer), 0, 0, false},
	{NULL, "target", "NAME", PRODUCTION,
	 "Deliver the actions of replays to this target only, such as staging; their argument target "
	 "names it.",
	 read_target, PLACE(target), 0, 0, false},

	{"Kafka", "kafka-key", "KEY", "fingerprint",
	 "The key of a message, which decides about its partition: fingerprint (the action id, if the "
	 "action has none) or action-id.",
	 read_kafka_key, PLACE(kafka_key), 0, 0, false},
	{NULL, "kafka-option", "NAME=VALUE", "",
	 "An option of librdkafka, such as compression.type=zstd. Can be given several times. Options "
	 "that hold a secret are only taken from --kafka-option-file.",
	 read_kafka_option, PLACE(kafka_options), 0, 0, true},
	{NULL, "kafka-option-file", "FILE", "",
	 "A file with options of librdkafka, one NAME=VALUE a line; lines that begin with # are "
	 "comments. Read again on SIGHUP.",
	 ReadText, PLACE(kafka_option_file), 0, 0, false},

	{"Limits", "concurrency", "N", "32",
	 "Maximum number of requests in flight, each on a kept-alive connection of its own. The relay "
	 "starts with 10 and determines how many the gateway can handle without queueing. With "
	 "--sink: of messages that are not acknowledged yet.",
	 ReadNumber, PLACE(concurrency), 1, 1000, false},
	{NULL, "share", "N", "1",
	 "Share of the gateway's free capacity that the relay may use: more than 0, at most 1.",
	 read_share, PLACE(share), 0, 0, false},
	{NULL, "batch-size", "N", "500", "Most actions to claim in one call.", ReadNumber,
	 PLACE(batch_size), 1, 1000, false},
	{NULL, "lease", "TIME", "30s",
	 "How long a claim is valid without being extended. The relay extends it as long as it runs.",
	 ReadDuration, PLACE(lease), 1000, 3600 * 1000, false},
	{NULL, "max-rate", "N", "0", "Maximum number of actions per second; 0 means no limit.",
	 ReadReal, PLACE(max_rate), 0, 0, false},
	{NULL, "request-timeout", "TIME", "5m",
	 "How long to wait for an answer. It must be longer than the gateway can take, because the "
	 "gateway drops a dispatch whose client has disconnected, and it is then unknown what was "
	 "done. Connecting is limited to 5s.",
	 ReadDuration, PLACE(request_timeout), 100, 3600 * 1000, false},

	{"Security", "ca-file", "FILE", "",
	 "The certificate authorities to trust for the gateway, instead of the system's.", ReadText,
	 PLACE(ca_file), 0, 0, false},
	{NULL, "client-cert", "FILE", "", "A client certificate for the gateway, in PEM format.",
	 ReadText, PLACE(client_cert), 0, 0, false},
	{NULL, "client-key", "FILE", "",
	 "The private key of the client certificate, if it is not in "
	 "the same file.",
	 ReadText, PLACE(client_key), 0, 0, false},
	{NULL, "payload-key-file", "FILE", "",
	 "A file with keys that decrypt sealed payloads: each line is ID:KEY, or KEY for the id k0, "
	 "as 64 hex digits or in base64. Can be given several times; in the environment, separate "
	 "several files with colons. Read again on SIGHUP.",
	 ReadTextList, PLACE(payload_key_files), 0, 0, false},
	{NULL, "signing-key-file", "FILE", "",
	 "A file with keys to sign actions with, for a gateway that asks for signatures: each line is "
	 "SIGNER[:KID] TENANT NAMESPACE SEED, where TENANT and NAMESPACE can be *, and SEED is an "
	 "Ed25519 seed as 64 hex digits or in base64. Only its owner may be able to read it. Read "
	 "again on SIGHUP.",
	 ReadText, PLACE(signing_key_file), 0, 0, false},

	{"Output", "listen", "ADDRESS:PORT", "",
	 "Serve /metrics, for Prometheus, and /health on this IP address and port, such as "
	 "127.0.0.1:8081 or [::]:8081, over HTTP and without a key. With port 0, any free port is used "
	 "and logged.",
	 read_listen, PLACE(listen), 0, 0, false},
	{NULL, "metrics-file", "FILE", "",
	 "Write metrics to this file every 5 seconds, in Prometheus' text format. The last ones, "
	 "when the relay ends, say so.",
	 ReadText, PLACE(metrics_file), 0, 0, false},
	{NULL, "log-level", "LEVEL", "info", "error, warning, info or debug.", ReadLogLevel,
	 PLACE(log_level), 0, 0, false},

	{"Operation", "grace", "TIME", "5m",
	 "How long requests in flight may take to finish after SIGTERM. Then they are interrupted, "
	 "and their actions are in doubt.",
	 ReadDuration, PLACE(grace), 0, 3600 * 1000, false},
	{NULL, "drain", NULL, NULL,
	 "Deliver the actions that are due, wait for retries and for the next steps of canaries, then "
	 "exit: with 0, or with 1 if an action became dead or a batch is paused. Actions that are "
	 "scheduled for later stay in the queue.",
	 ReadSwitch, PLACE(drain), 0, 0, false},
	{NULL, "check", NULL, NULL,
	 "Test everything that the relay needs, report what is wrong and what to do, and exit.",
	 ReadSwitch, PLACE(check), 0, 0, false},
	{NULL, "check-as", "TENANT/NAMESPACE/PROVIDER/TYPE", "",
	 "With --check, test the key with this dispatch, which is evaluated but not executed. By "
	 "default, the values of the newest batch are used, if its query names all four.",
	 ReadText, PLACE(check_as), 0, 0, false},
	{NULL, "trace", NULL, NULL,
	 "Send the header traceparent (W3C's Trace Context, as OpenTelemetry uses it) with all actions, "
	 "also with those that were not replayed in a trace: each request of these begins a trace of "
	 "its own.",
	 ReadSwitch, PLACE(trace), 0, 0, false},
	{NULL, "no-listen", NULL, NULL,
	 "Do not use notifications, but only poll: for PgBouncer in transaction pooling mode.",
	 ReadSwitch, PLACE(no_listen), 0, 0, false},

	OPTIONS_ABOUT,
};

static const Chapter chapters[] = {
	{"ENVIRONMENT",
	 "Every option can also be set as an environment variable: ACTEON_RELAY_ and its name, as in "
	 "ACTEON_RELAY_BATCH_SIZE=50 or ACTEON_RELAY_DRAIN=on. The command line takes precedence. "
	 "Proxy settings in the environment are ignored."},
	{"SIGNALS",
	 "SIGTERM, SIGINT: wait for the requests in flight, for at most --grace, give the other "
	 "actions back, and exit with 0. On a second signal, interrupt the requests in flight, whose "
	 "actions are then in doubt, and exit with 1; on a third one, exit at once.\nSIGHUP: read the "
	 "key files and --kafka-option-file again. An invalid file is reported and not used."},
	{"EXIT STATUS",
	 "0: success.\n1: --drain ended with dead or paused actions or could not start, --check found "
	 "a problem, or the relay had to interrupt requests.\n2: the options are invalid."},
	{NULL, NULL},
};

static const Program program = {
	.name = "acteon-relay",
	.version = ACTEON_VERSION,
	.summary = "deliver replayed actions from the outbox to the Acteon gateway",
	.description =
		"acteon-relay takes actions from the outbox of the PostgreSQL extension acteon_replay, "
		"posts them to the gateway, or puts them into a topic of Kafka, and records the answers. "
		"Actions are leased, so that after a "
		"crash each one is either delivered or known not to be. Any number of relays can run at "
		"once, on any machine. The relay's database role needs a row in acteon_grants with the "
		"role gateway.",
	.prefix = "ACTEON_RELAY_",
	.options = options,
	.chapters = chapters,
};

/*
 * The name of this consumer, which the queue wants to be short.
 */
static const char *
read_consumer(const Option *option, const char *text, void *place)
{
	if (*text == '\0' || strlen(text) > MAX_CONSUMER)
		return "a name of 1 to 200 bytes";
	return ReadText(option, text, place);
}

/*
 * The name of a target, as the extension takes it.
 */
static const char *
read_target(const Option *option, const char *text, void *place)
{
	if (!IsNameOfTarget(text, strlen(text)))
		return NO_TARGET;
	return ReadText(option, text, place);
}

/*
 * An address to listen on, or none.
 */
static const char *
read_listen(const Option *option, const char *text, void *place)
{
	if (*text != '\0')
		return ReadAddress(option, text, place);
	*(Address *) place = (Address){0};
	return NULL;
}

/*
 * A part of one, into a double.
 */
static const char *
read_share(const Option *option, const char *text, void *place)
{
	double share;

	if (ReadReal(option, text, &share) != NULL || share <= 0 || share > 1)
		return "a number above 0 and at most 1, such as 0.8";
	*(double *) place = share;
	return NULL;
}

/*
 * What the key of a message is, into a KafkaKey.
 */
static const char *
read_kafka_key(const Option *option, const char *text, void *place)
{
	(void) option;
	if (strcmp(text, "fingerprint") == 0)
		*(KafkaKey *) place = KAFKA_KEY_FINGERPRINT;
	else if (strcmp(text, "action-id") == 0)
		*(KafkaKey *) place = KAFKA_KEY_ACTION_ID;
	else
		return "fingerprint or action-id";
	return NULL;
}

/*
 * One more option of librdkafka.  Values have colons, so that the environment, unlike
 * that of other lists, has one.
 */
static const char *
read_kafka_option(const Option *option, const char *text, void *place)
{
	const char *equals = strchr(text, '=');

	if (*text != '\0' && (equals == NULL || equals == text))
		return "NAME=VALUE";
	return ReadTextList(option, text, place);
}

/*
 * Can libcurl and we make something of this URL?
 */
static bool
is_url(const char *text)
{
	CURLU *url;
	char *host = NULL, *port = NULL;
	bool good;

	if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
		return false;
	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || strchr("@?#\\\"\177", *c) != NULL)
			return false;
	}
	url = curl_url();
	good = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
		   curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host != '\0' &&
		   curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		   strtol(port, NULL, 10) > 0;
	/* libcurl forgives a third slash, and would take a path for the host. */
	good = good && strchr(text, ':')[3] != '/';
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return good;
}

/*
 * Check the URL of the gateway, and take the slashes at its end off.  One with
 * a user, password, query or fragment is refused: secrets belong into files.
 * A refused one is not shown, since it may hold one.
 */
static void
check_url(char *text)
{
	size_t len = strlen(text);

	if (!is_url(text))
		OptionsFail(&program,
					"the value of --gateway-url is not the URL of a gateway: expected http:// or "
					"https://, a host, optionally a port and a path, and nothing else");
	while (text[len - 1] == '/')
		text[--len] = '\0';
}

/*
 * Is this a list of host:port, with commas between them?
 */
static bool
are_brokers(const char *text)
{
	char *copy = DuplicateText(text);
	char *rest = copy;
	bool good = *text != '\0';

	for (char *broker; good && (broker = strsep(&rest, ",")) != NULL;)
	{
		char *port = strrchr(broker, ':');
		char *end;

		good = port != NULL && port != broker && port[1] >= '1' && port[1] <= '9' &&
			   strtol(port + 1, &end, 10) <= 65535 && *end == '\0';
		for (const char *c = broker; good && *c != '\0'; c++)
			good = (unsigned char) *c > ' ' && strchr("@?#\\\"/=\177", *c) == NULL;
	}
	free(copy);
	return good;
}

/*
 * Is this a name that Kafka takes for a topic?
 */
static bool
is_topic(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= 249 && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 &&
		   strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/*
 * Take the URL of a sink apart.  A refused one is not shown, since it may hold a
 * password.
 */
static void
read_sink(Settings *settings)
{
	static const char scheme[] = "kafka://";
	const char *brokers = settings->sink + sizeof(scheme) - 1;
	const char *slash =
		strncmp(settings->sink, scheme, sizeof(scheme) - 1) == 0 ? strchr(brokers, '/') : NULL;

	if (slash != NULL)
		settings->kafka_brokers = Duplicate(brokers, (size_t) (slash - brokers));
	if (slash == NULL || !are_brokers(settings->kafka_brokers) || !is_topic(slash + 1))
		OptionsFail(&program, "the value of --sink is not the URL of a topic: expected "
							  "kafka://HOST:PORT[,HOST:PORT...]/TOPIC and nothing else");
	settings->kafka_topic = DuplicateText(slash + 1);
}

/*
 * Check what is said of the sink.
 */
static void
check_sink(Settings *settings)
{
	if (settings->sink == NULL && settings->gateway_url == NULL)
		OptionsFail(&program, "--gateway-url is required, for example "
							  "--gateway-url=https://gateway.example.com");
	if (settings->sink != NULL && settings->gateway_url != NULL)
		OptionsFail(&program, "--gateway-url and --sink cannot be used together");
	if (settings->gateway_url != NULL)
		check_url(settings->gateway_url);
	if (settings->sink != NULL)
		read_sink(settings);
#ifndef WITH_KAFKA
	if (settings->sink != NULL)
		OptionsFail(&program, "this acteon-relay was built without Kafka (KAFKA=no), so it has "
							  "no --sink");
#endif
	if (settings->sink == NULL &&
		(settings->kafka_options.count > 0 || settings->kafka_option_file != NULL))
		OptionsFail(&program, "--kafka-option and --kafka-option-file need --sink");
	if (settings->sink != NULL && (settings->api_key_file != NULL || settings->ca_file != NULL ||
								   settings->client_cert != NULL || settings->check_as != NULL))
		OptionsFail(&program, "--api-key-file, --ca-file, --client-cert and --check-as are for a "
							  "gateway; with --sink, use --kafka-option");
	OptionsCheckFile(&program, "kafka-option-file", settings->kafka_option_file);
#ifdef WITH_KAFKA
	{
		const char *name;
		const char *why = KafkaRefusedOption(&settings->kafka_options, &name);

		if (why != NULL)
			OptionsFail(&program, "--kafka-option %s %s", name, why);
	}
#endif
}

/*
 * The name of this consumer, if none was given: host:pid.
 */
static char *
default_consumer(void)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		return Format("relay:%d", (int) getpid());
	return Format("%s:%d", host, (int) getpid());
}

/*
 * How many slashes a text has.
 */
static int
count_slashes(const char *text)
{
	int count = 0;

	for (; *text != '\0'; text++)
		count += *text == '/' ? 1 : 0;
	return count;
}

/*
 * Read the options, and refuse what does not fit together.  The settings live as
 * long as the program.
 */
void
SettingsRead(Settings *settings, int argc, char **argv)
{
	OptionsRead(&program, settings, argc, argv);
	check_sink(settings);
	if (settings->client_key != NULL && settings->client_cert == NULL)
		OptionsFail(&program, "--client-key needs --client-cert");
	OptionsCheckFile(&program, "ca-file", settings->ca_file);
	OptionsCheckFile(&program, "client-cert", settings->client_cert);
	OptionsCheckFile(&program, "client-key", settings->client_key);
	if (settings->check_as != NULL && count_slashes(settings->check_as) != 3)
		OptionsFail(&program, "--check-as needs tenant, namespace, provider and action type, with "
							  "slashes between them");
	if (settings->drain && settings->check)
		OptionsFail(&program, "--drain and --check cannot be used together");
	if (settings->consumer == NULL)
		settings->consumer = default_consumer();
}
