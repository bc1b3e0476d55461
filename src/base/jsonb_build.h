/*
 * jsonb_build.h
 *		Members of a jsonb object that is being built.
 */
#ifndef ACTEON_JSONB_BUILD_H
#define ACTEON_JSONB_BUILD_H

#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/optional_time.h"

extern void PushKey(JsonbParseState **state, const char *name);
extern void PushNull(JsonbParseState **state, const char *name);
extern void PushNumber(JsonbParseState **state, const char *name, int64 number);
extern void PushNumeric(JsonbParseState **state, const char *name, Numeric number);
extern void PushString(JsonbParseState **state, const char *name, const char *string);
extern void PushTime(JsonbParseState **state, const char *name, const OptionalTime *time);
extern void PushJsonb(JsonbParseState **state, const char *name, Jsonb *json);

#endif /* ACTEON_JSONB_BUILD_H */
