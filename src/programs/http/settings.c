/*
 * settings.c
 *		What the server was told to do: its options, and what must fit together.
 */
#include "http/settings.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/connect.h"

/* Where an option's value goes. */
#define PLACE(field) offsetof(Settings, field)

static const Option options[] = {
	{"Where", "database", "CONNINFO", "",
	 "The database, as a connection string or URI. What it leaves out comes from libpq's environment "
	 "variables (PGHOST, PGDATABASE, ...), service and password files. The role needs EXECUTE on the "
	 "functions acteon_api_login, _begin, _finish and _housekeeping, must be a member of the roles "
	 "of the keys, and should be NOINHERIT and may do nothing else.",
	 ReadConninfo, PLACE(database), 0, 0, true},
	{NULL, "listen", "ADDRESS:PORT", "127.0.0.1:8080",
	 "An IP address and a port, as 0.0.0.0:8080 or [::1]:8080. Port 0 is a free one.", ReadAddress,
	 PLACE(listen), 0, 0, false},
	{NULL, "port-file", "FILE", "", "Write the port there, once requests are taken.", ReadText,
	 PLACE(port_file), 0, 0, false},

	{"Who may", "allow-anonymous", "ROLE", "",
	 "Requests without a key act as this role of the database. For a laptop: refused unless --listen "
	 "is an address of the loopback.",
	 ReadText, PLACE(anonymous), 0, 0, false},
	{NULL, "tls-cert", "FILE", "", "Speak TLS, with this chain of certificates in PEM.", ReadText,
	 PLACE(tls_cert), 0, 0, false},
	{NULL, "tls-key", "FILE", "", "The private key of the first of them, in PEM.", ReadText,
	 PLACE(tls_key), 0, 0, false},

	{"How much", "workers", "N", "4",
	 "Connections to the database, which is how many requests it works on at once.", ReadNumber,
	 PLACE(workers), 1, 100, false},
	{NULL, "queue", "N", "100",
	 "Requests that may wait for one of them; more are answered 503 with Retry-After.", ReadNumber,
	 PLACE(queue), 0, 100000, false},
	{NULL, "max-connections", "N", "2000", "Connections of clients, idle ones too.", ReadNumber,
	 PLACE(max_connections), 1, 100000, false},
	{NULL, "max-body", "BYTES", "65536",
	 "The largest body of a request. What is in it is not looked at.", ReadNumber, PLACE(max_body),
	 0, 1 << 30, false},
	{NULL, "statement-timeout", "TIME", "30s",
	 "How long the database may take for a request, waiting included.", ReadDuration,
	 PLACE(statement_timeout), 100, 3600 * 1000, false},
	{NULL, "request-timeout", "TIME", "30s",
	 "How long a client may take to send the body of a request, and to take an answer.",
	 ReadDuration, PLACE(request_timeout), 100, 3600 * 1000, false},
	{NULL, "idle-timeout", "TIME", "60s",
	 "How long a connection may be idle, and how long the head of a request may take.",
	 ReadDuration, PLACE(idle_timeout), 100, 24 * 3600 * 1000, false},

	{"What it says", "log-level", "LEVEL", "info",
	 "error, warning, info or debug. At info, each request is a line.", ReadLogLevel,
	 PLACE(log_level), 0, 0, false},

	{"How it runs", "grace", "TIME", "20s", "How long requests may take to end after SIGTERM.",
	 ReadDuration, PLACE(grace), 0, 3600 * 1000, false},
	{NULL, "check", NULL, NULL,
	 "Try everything that the server needs, say what is wrong and what to do, and exit.",
	 ReadSwitch, PLACE(check), 0, 0, false},

	OPTIONS_ABOUT,
};

static const Chapter chapters[] = {
	{"ENVIRONMENT",
	 "Every option is also a variable: ACTEON_REPLAY_HTTP_ and its name, as in ACTEON_REPLAY_HTTP_WORKERS=8. "
	 "The command line wins."},
	{"SIGNALS",
	 "SIGTERM, SIGINT: take no more connections, finish the requests that are under way, exit with 0; a "
	 "second one exits at once."},
	{"EXIT STATUS",
	 "0: all is well.\n1: --check found something, the server could not begin, or requests were broken "
	 "off at the end.\n2: the options are wrong."},
	{NULL, NULL},
};

static const Program program = {
	.name = PROGRAM,
	.version = ACTEON_VERSION,
	.summary = "the Acteon gateway's replay interface over HTTP",
	.description =
		"acteon-replay-http answers the requests that the gateway's SDKs make to replay actions, by "
		"calling the functions of the PostgreSQL extension acteon_replay. Each request carries an API "
		"key, made with acteon_api_key_create, and acts as the key's role: the rows of acteon_grants "
		"decide what it may do. GET /openapi.json describes the interface.",
	.prefix = "ACTEON_REPLAY_HTTP_",
	.options = options,
	.chapters = chapters,
};

/*
 * Read the options, and refuse what does not fit together.  The settings live as
 * long as the program.
 */
void
SettingsRead(Settings *settings, int argc, char **argv)
{
	OptionsRead(&program, settings, argc, argv);
	if ((settings->tls_cert == NULL) != (settings->tls_key == NULL))
		OptionsFail(&program, "--tls-cert and --tls-key need each other");
	OptionsCheckFile(&program, "tls-cert", settings->tls_cert);
	OptionsCheckFile(&program, "tls-key", settings->tls_key);
	/* To PostgreSQL it means the role that the server logs in as. */
	if (settings->anonymous != NULL && strcmp(settings->anonymous, "none") == 0)
		OptionsFail(&program, "--allow-anonymous needs a role, and \"none\" is none");
	if (settings->anonymous != NULL && !AddressIsLoopback(&settings->listen))
		OptionsFail(&program, "--allow-anonymous needs an address of the loopback in --listen: "
							  "whoever reaches the port may do what the role may");
}
