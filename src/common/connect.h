/*
 * connect.h
 *		How a program connects to the database.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "options.h"

extern PGconn *ConnectStart(const char *conninfo, const char *program, bool block);
extern const char *ReadConninfo(const Option *option, const char *text, void *place);

#endif
