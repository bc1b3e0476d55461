/*
 * cancel.h
 *		Requests to cancel a statement.
 */
#ifndef CANCEL_H
#define CANCEL_H

#include <libpq-fe.h>

typedef struct Cancel Cancel;

extern Cancel *CancelStart(PGconn *conn, void (*ended)(void *owner), void *owner);
extern void CancelForget(Cancel *cancel);

#endif
