/*
 * main.c
 *		acteon-replay-http: the gateway's replay interface over HTTP.
 *
 * It holds no rules of its own: it looks API keys up, becomes their roles, calls
 * the functions of the extension, and turns what these say into HTTP.
 */
#include "common/loop.h"
#include "common/process.h"
#include "common/signals.h"
#include "http/check.h"
#include "http/server.h"

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
	if (settings.check)
		return CheckRun(&settings);
	LoopStart();
	SignalsStart();
	status = ServerRun(&settings);
	SignalsEnd();
	LoopEnd();
	return status;
}
