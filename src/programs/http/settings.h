/*
 * settings.h
 *		The options of the server.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "common/log.h"
#include "common/options.h"
#include "common/socket.h"

typedef struct Settings
{
	char *database;
	Address listen;
	char *port_file;
	char *anonymous;       /* role of requests without a key, or NULL */
	TextList allow_origin; /* of web pages that may use it */
	char *tls_cert;
	char *tls_key;
	int workers;
	int queue;
	int max_connections;
	int max_body;
	int64_t statement_timeout;
	int64_t request_timeout;
	int64_t idle_timeout;
	int64_t grace;
	LogLevel log_level;
	bool check;
} Settings;

#define PROGRAM "acteon-replay-http"

extern void SettingsRead(Settings *settings, int argc, char **argv);

#endif
