/*
 * rfc3339.h
 *		Times as the gateway writes them.
 */
#ifndef ACTEON_RFC3339_H
#define ACTEON_RFC3339_H

#include "datatype/timestamp.h"

/* Room for a formatted time and its terminator. */
#define RFC3339_MAXLEN 40

extern bool
ParseRfc3339(const char *text, size_t len, bool any_form, TimestampTz *result, bool *is_exact);
extern bool IsRfc3339Time(TimestampTz time);
extern void FormatRfc3339(char *dst, TimestampTz time);

#endif /* ACTEON_RFC3339_H */
