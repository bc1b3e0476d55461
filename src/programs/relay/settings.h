/*
 * settings.h
 *		The options of the relay.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "common/log.h"
#include "common/options.h"

typedef struct Settings
{
	char *database;
	char *gateway_url;
	char *api_key_file;
	char *consumer;
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
	char *metrics_file;
	LogLevel log_level;
	int64_t grace;
	bool drain;
	bool check;
	char *check_as;
	bool no_listen;
} Settings;

extern void SettingsRead(Settings *settings, int argc, char **argv);

#endif
