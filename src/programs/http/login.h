/*
 * login.h
 *		Who asks, for the database.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "http/request.h"
#include "http/statements.h"

extern Statement LoginStatement(const Request *request);
extern Statement LoginBeginStatement(const Request *request);

#endif
