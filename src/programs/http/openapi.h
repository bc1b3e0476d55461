/*
 * openapi.h
 *		The description of the interface.
 */
#ifndef OPENAPI_H
#define OPENAPI_H

#include "common/buffer.h"

extern const Buffer *OpenapiDocument(void);

#endif
