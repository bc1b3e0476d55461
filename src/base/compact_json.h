/*
 * compact_json.h
 *		JSON as text without blanks.
 */
#ifndef ACTEON_COMPACT_JSON_H
#define ACTEON_COMPACT_JSON_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Appends a number. */
typedef void (*NumberWriter)(StringInfo out, Numeric number);

extern void AppendStoredNumber(StringInfo out, Numeric number);
extern void AppendCompactJson(StringInfo out, const JsonbValue *value, NumberWriter number);
extern void AppendCompactJsonb(StringInfo out, Jsonb *value, NumberWriter number);

#endif /* ACTEON_COMPACT_JSON_H */
