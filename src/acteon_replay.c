/*
 * acteon_replay.c
 *		The module: its magic block, and what happens when it is loaded.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/settings.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/*
 * Define the settings, which needs no shared_preload_libraries.
 */
void
_PG_init(void)
{
	DefineSettings();
}
