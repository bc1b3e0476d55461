/*
 * main.c
 *		acteon-relay: delivers actions from the outbox to the gateway.
 *
 * It claims actions from the extension's queue, posts them to the gateway and
 * records the answers.  No transaction is open while a request is in flight.
 */
#include <curl/curl.h>

#include "common/loop.h"
#include "common/process.h"
#include "common/signals.h"
#include "relay/check.h"
#include "relay/relay.h"

int
main(int argc, char **argv)
{
	static Settings settings;
	int status;

	ProcessFillStandardFiles();
	ProcessKeepLibraries();
	SettingsRead(&settings, argc, argv);
	LogStart(settings.log_level);
	ProcessProtectMemory();
	if (!ProcessKeepsSecrets())
		return 1;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		Log(LOG_ERROR, "cannot start libcurl");
		return 1;
	}
	/* Else looking up the gateway's name would keep the loop. */
	if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) == 0)
	{
		Log(LOG_ERROR, "this libcurl waits for name servers",
			LogText("hint", "it must be built with the threaded resolver or c-ares"));
		return 1;
	}
	if (settings.check)
		return CheckRun(&settings);
	LoopStart();
	SignalsStart();
	status = RelayRun(&settings);
	SignalsEnd();
	LoopEnd();
	curl_global_cleanup();
	return status;
}
