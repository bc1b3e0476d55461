#include "postgres.h"
#include "fmgr.h"
#define STUB(f) \
	PG_FUNCTION_INFO_V1(f); \
	Datum f(PG_FUNCTION_ARGS) \
	{ \
		elog(ERROR, "not there yet"); \
	}
STUB(acteon_replay_preview)
STUB(acteon_replay_preview_jsonb)
