/*
 * status_map.h
 *		What an error of the database becomes in HTTP.
 */
#ifndef STATUS_MAP_H
#define STATUS_MAP_H

#include <stdbool.h>

typedef struct Fault
{
	const char *sqlstate; /* or its class, two characters */
	int status;
	const char *text; /* instead of the database's message, or NULL */
	int retry_after;  /* seconds, 0 for none */
	bool is_ours;     /* not the client's to mend: goes into the log */
} Fault;

extern const Fault *FaultFind(const char *sqlstate);

#endif
