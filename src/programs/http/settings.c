/*
 * settings.c
 *		The options of the server, and checks that they fit together.
 */
#include "http/settings.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/connect.h"
#include "http/cors.h"

/* Where an option's value goes. */
#define PLACE(field) offsetof(Settings, field)

static const Option options[] = {
	{"Connections", "database", "CONNINFO", "",
	 "The database, as a connection string or URI. Missing parameters are taken from libpq's "
	 "environment variables (PGHOST, PGDATABASE, ...), service and password files. The role needs "
	 "EXECUTE on the functions acteon_api_login, _begin, _finish and _housekeeping, must be a "
	 "member of the roles of the keys, and should be NOINHERIT and have no other privileges.",
	 ReadConninfo, PLACE(database), 0, 0, true},
	{NULL, "listen", "ADDRESS:PORT", "127.0.0.1:8080",
	 "An IP address and a port, such as 0.0.0.0:8080 or [::1]:8080. With port 0, any free port is "
	 "used.",
	 ReadAddress, PLACE(listen), 0, 0, false},
	{NULL, "port-file", "FILE", "", "Write the port to this file when requests are accepted.",
	 ReadText, PLACE(port_file), 0, 0, false},

	{"Access", "allow-anonymous", "ROLE", "",
	 "Requests without a key act as this database role. For development only: refused unless "
	 "--listen is a loopback address.",
	 ReadText, PLACE(anonymous), 0, 0, false},
	{NULL, "allow-origin", "ORIGIN,...", "",
	 "Let web pages of these origins, such as https://ops.example.com, send requests and read the "
	 "answers (CORS); * stands for all, and is refused with --allow-anonymous. By default, browsers "
	 "keep pages of other origins away.",
	 ReadOrigins, PLACE(allow_origin), 0, 0, false},
	{NULL, "tls-cert", "FILE", "", "Use TLS, with this certificate chain in PEM format.", ReadText,
	 PLACE(tls_cert), 0, 0, false},
	{NULL, "tls-key", "FILE", "", "The private key of the first certificate, in PEM format.",
	 ReadText, PLACE(tls_key), 0, 0, false},

	{"Limits", "workers", "N", "4",
	 "Number of database connections, and so of requests that are processed at once.", ReadNumber,
	 PLACE(workers), 1, 100, false},
	{NULL, "queue", "N", "100",
	 "Number of requests that may wait for a worker; further ones are answered with 503 and "
	 "Retry-After.",
	 ReadNumber, PLACE(queue), 0, 100000, false},
	{NULL, "max-connections", "N", "2000",
	 "Maximum number of client connections, including idle "
	 "ones.",
	 ReadNumber, PLACE(max_connections), 1, 100000, false},
	{NULL, "max-body", "BYTES", "65536",
	 "Maximum size of a request body. Only verifications take one.", ReadNumber, PLACE(max_body), 0,
	 1 << 30, false},
	{NULL, "statement-timeout", "TIME", "30s",
	 "How long a request may take in the database, including time spent waiting.", ReadDuration,
	 PLACE(statement_timeout), 100, 3600 * 1000, false},
	{NULL, "request-timeout", "TIME", "30s",
	 "How long a client may take to send the body of a request, and to receive an answer.",
	 ReadDuration, PLACE(request_timeout), 100, 3600 * 1000, false},
	{NULL, "idle-timeout", "TIME", "60s",
	 "How long a connection may be idle, and how long a client may take to send the header of a "
	 "request.",
	 ReadDuration, PLACE(idle_timeout), 100, 24 * 3600 * 1000, false},

	{"Logging", "log-level", "LEVEL", "info",
	 "error, warning, info or debug. With info, one line is logged for each request.", ReadLogLevel,
	 PLACE(log_level), 0, 0, false},

	{"Operation", "grace", "TIME", "20s", "How long requests may take to finish after SIGTERM.",
	 ReadDuration, PLACE(grace), 0, 3600 * 1000, false},
	{NULL, "check", NULL, NULL,
	 "Test everything that the server needs, report what is wrong and what to do, and exit.",
	 ReadSwitch, PLACE(check), 0, 0, false},

	OPTIONS_ABOUT,
};

static const Chapter chapters[] = {
	{"ENVIRONMENT",
	 "Every option can also be set as an environment variable: ACTEON_REPLAY_HTTP_ and its name, "
	 "as in ACTEON_REPLAY_HTTP_WORKERS=8. The command line takes precedence."},
	{"SIGNALS",
	 "SIGTERM, SIGINT: accept no more connections, finish the requests in progress, and exit with "
	 "0; on a second signal, exit at once. SIGHUP: read the certificate and its key again. If they "
	 "cannot be used, the log says why, and the old ones are kept."},
	{"EXIT STATUS",
	 "0: success.\n1: --check found a problem, the server could not start, or requests were "
	 "interrupted at the end.\n2: the options are invalid."},
	{NULL, NULL},
};

static const Program program = {
	.name = PROGRAM,
	.version = ACTEON_VERSION,
	.summary = "the Acteon gateway's replay interface over HTTP",
	.description =
		"acteon-replay-http answers the requests that the gateway's SDKs make to replay actions, "
		"by calling the functions of the PostgreSQL extension acteon_replay. Each request carries "
		"an API key, created with acteon_api_key_create, and acts as the key's role, whose grants "
		"in acteon_grants determine what it may do. GET /openapi.json describes the interface.",
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
		OptionsFail(&program, "--tls-cert and --tls-key must be used together");
	OptionsCheckFile(&program, "tls-cert", settings->tls_cert);
	OptionsCheckFile(&program, "tls-key", settings->tls_key);
	/* To PostgreSQL it means the role that the server logs in as. */
	if (settings->anonymous != NULL && strcmp(settings->anonymous, "none") == 0)
		OptionsFail(&program, "--allow-anonymous needs a role, and \"none\" is not one");
	if (settings->anonymous != NULL && !AddressIsLoopback(&settings->listen))
		OptionsFail(
			&program,
			"--allow-anonymous needs a loopback address in --listen: anyone who can reach the "
			"port can do what the role can");
	if (settings->anonymous != NULL && OriginsHaveAll(&settings->allow_origin))
		OptionsFail(&program,
					"--allow-origin=* cannot be used with --allow-anonymous: any web page could do "
					"what the role can");
}
