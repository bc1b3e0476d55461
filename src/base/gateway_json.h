/*
 * gateway_json.h
 *		Numbers and times as the gateway prints them in its answers.
 */
#ifndef ACTEON_GATEWAY_JSON_H
#define ACTEON_GATEWAY_JSON_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/numeric.h"

extern void AppendGatewayNumber(StringInfo out, Numeric number);
extern void AppendGatewayTime(StringInfo out, TimestampTz time);

#endif /* ACTEON_GATEWAY_JSON_H */
