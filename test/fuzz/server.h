/*
 * server.h
 *		As much of the server as its parts need that are fuzzed outside of it.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include "postgres.h"

/* Memory that is given back after each input: palloc takes from it. */
extern void BeginMemory(void);
extern void EndMemory(void);

#endif
