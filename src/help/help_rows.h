/*
 * help_rows.h
 *		The rows of acteon_replay_help.
 */
#ifndef ACTEON_HELP_ROWS_H
#define ACTEON_HELP_ROWS_H

#include "datatype/timestamp.h"
#include "funcapi.h"

#include "access/grants.h"

/* A call of acteon_replay_help. */
typedef struct Help
{
	ReturnSetInfo *result;
	Oid schema; /* of the extension */
	Oid caller;
	Grants *grants;
	TimestampTz now;
	const char *quoted; /* the schema, for SQL */
	const char
		*prefix; /* of names in statements that are shown: empty where the caller needs none */
	int rows;
	int batches; /* the caller sees, of those that are looked at */
} Help;

extern void PutHelp(Help *help, const char *topic, const char *statement, const char *why);

#endif /* ACTEON_HELP_ROWS_H */
