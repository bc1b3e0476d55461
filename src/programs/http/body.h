/*
 * body.h
 *		Parameters in the body of a request.
 */
#ifndef BODY_H
#define BODY_H

#include "common/buffer.h"
#include "http/parameters.h"

extern char *BodyRead(Parameters *parameters, const Buffer *body, CallSet takes);

#endif
