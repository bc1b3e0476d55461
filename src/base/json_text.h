/*
 * json_text.h
 *		JSON as text.
 */
#ifndef ACTEON_JSON_TEXT_H
#define ACTEON_JSON_TEXT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

extern void AppendJsonString(StringInfo json, const char *text, int len);
extern void AppendJsonb(StringInfo json, const Jsonb *value);
extern void CheckJsonbDepth(const Jsonb *value);

#endif /* ACTEON_JSON_TEXT_H */
