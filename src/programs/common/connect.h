/*
 * connect.h
 *		How a program connects to the database.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "common/options.h"

/* A connection that is being made. */
typedef struct Connect Connect;

/* Called with the connection, which belongs to whoever is called, or with NULL if
 * there was no memory for one; whether it is a good one is up to PQstatus. */
typedef void (*ConnectEnded)(void *owner, PGconn *conn);

extern PGconn *ConnectNow(const char *conninfo, const char *program);
extern Connect *
ConnectBegin(const char *conninfo, const char *program, ConnectEnded ended, void *owner);
extern void ConnectForget(Connect *connect);
extern const char *ReadConninfo(const Option *option, const char *text, void *place);

#endif
