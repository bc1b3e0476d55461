/*
 * status_map.h
 *		What an error of the database becomes in HTTP.
 */
#ifndef STATUS_MAP_H
#define STATUS_MAP_H

#include "base/error_codes.h"

/* A row of the table of codes; error_codes.def says what the columns mean. */
typedef struct Fault
{
	const char *code;
	int status;
	int retry_after;
	const char *title;
	const char *text; /* NULL: the database's */
	const char *hint; /* NULL: the database's */
} Fault;

extern const Fault faults[NUM_ERROR_CODES];

extern ErrorCode FaultFind(const char *sqlstate, const char *reason);

#endif
