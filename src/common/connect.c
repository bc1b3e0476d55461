/*
 * connect.c
 *		How a program connects to the database.
 */
#include "connect.h"

#include <string.h>

/* What libpq is given before and after the conninfo: it may override the first
 * ones only. */
static const struct
{
	const char *keyword;
	const char *value;
} defaults[] = {
	{"keepalives_idle", "10"},     {"keepalives_interval", "5"}, {"keepalives_count", "3"},
	{"tcp_user_timeout", "15000"}, {"connect_timeout", "10"},
};

/*
 * Begin to connect; or, with block, connect.
 */
PGconn *
ConnectStart(const char *conninfo, const char *program, bool block)
{
	const char *keywords[16], *values[16];
	int n = 0;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
	{
		keywords[n] = defaults[i].keyword;
		values[n++] = defaults[i].value;
	}
	keywords[n] = "fallback_application_name";
	values[n++] = program;
	keywords[n] = "dbname";
	values[n++] = conninfo != NULL ? conninfo : "";
	keywords[n] = "client_encoding";
	values[n++] = "UTF8";
	keywords[n] = NULL;
	values[n] = NULL;
	return block ? PQconnectdbParams(keywords, values, 1)
				 : PQconnectStartParams(keywords, values, 1);
}

/*
 * A connection string, as an option's value.  It may hold a password, so neither
 * it nor libpq's complaint, which quotes from it, is shown.
 */
const char *
ReadConninfo(const Option *option, const char *text, void *place)
{
	PQconninfoOption *parsed;

	/* libpq takes anything else for the name of a database. */
	if (strchr(text, '=') != NULL || strncmp(text, "postgresql://", 13) == 0 ||
		strncmp(text, "postgres://", 11) == 0)
	{
		parsed = PQconninfoParse(text, NULL);
		if (parsed == NULL)
			return "KEY=VALUE pairs, with quotes around what has blanks, or "
				   "postgresql://USER@HOST:PORT/DATABASE, with special characters percent-encoded";
		PQconninfoFree(parsed);
	}
	return ReadText(option, text, place);
}
