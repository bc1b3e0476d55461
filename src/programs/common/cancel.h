/*
 * cancel.h
 *		Requests to cancel a statement.
 */
#ifndef CANCEL_H
#define CANCEL_H

#include <stdbool.h>

#include <libpq-fe.h>

typedef struct Cancel Cancel;

extern Cancel *CancelStart(PGconn *conn, void (*ended)(void *owner), void *owner);
extern bool CancelFinish(Cancel *cancel);
extern void CancelForget(Cancel *cancel);

#endif
