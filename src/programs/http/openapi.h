/*
 * openapi.h
 *		The description of the interface.
 */
#ifndef OPENAPI_H
#define OPENAPI_H

#include <stddef.h>

extern const char openapi_text[];

extern size_t OpenapiLength(void);

#endif
