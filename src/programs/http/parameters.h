/*
 * parameters.h
 *		What stands in a path and a query string.
 */
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include <stdbool.h>

#include "common/buffer.h"

typedef enum ParameterId
{
	PARAMETER_NAMESPACE,
	PARAMETER_TENANT,
	PARAMETER_PROVIDER,
	PARAMETER_ACTION_TYPE,
	PARAMETER_OUTCOME,
	PARAMETER_VERDICT,
	PARAMETER_MATCHED_RULE,
	PARAMETER_FROM,
	PARAMETER_TO,
	PARAMETER_LIMIT,
	PARAMETER_CALLER_ID,
	PARAMETER_CHAIN_ID,
	PARAMETER_INCLUDE_REPLAYED,
	PARAMETER_ALLOW_REDACTED,
	PARAMETER_NEWEST_FIRST,
	PARAMETER_CURSOR,
	PARAMETER_RATE,
	PARAMETER_START_AT,
	PARAMETER_REASON,
	PARAMETER_ALLOW_PARTIAL,
	PARAMETER_DEDUP,
	PARAMETER_PROVIDER_OVERRIDE,
	PARAMETER_MAX_GENERATION,
	PARAMETER_MAX_DEPTH,
	PARAMETER_BREAKER_WINDOW,
	PARAMETER_BREAKER_SHARE,
	PARAMETER_RAMP,
	PARAMETER_LOST,
	PARAMETER_CERTAIN,
	PARAMETER_ALLOW_EFFECTIVE,
	PARAMETER_ALLOW_UNPROVEN,
	PARAMETER_ON_DOUBT,
	PARAMETER_DRY_RUN,
	PARAMETER_SAMPLE,
	PARAMETER_WAIT,
	PARAMETER_BEFORE,
	PARAMETER_STATE,
	PARAMETERS
} ParameterId;

/* Who takes a parameter. */
#define TAKEN_BY_NONE 0u
#define TAKEN_BY_BULK 1u
#define TAKEN_BY_REPLAY 2u
#define TAKEN_BY_STEERING 4u
#define TAKEN_BY_BATCHES 8u

/* Values by ParameterId: NULL for what was not given. */
typedef struct Parameters
{
	char *values[PARAMETERS];
} Parameters;

extern char *ParametersRead(Parameters *parameters, const char *query, unsigned takes);
extern void ParametersFree(Parameters *parameters);
extern bool ParameterIsTrue(const Parameters *parameters, ParameterId id);
extern void ParametersToQuery(const Parameters *parameters, Buffer *json);

extern char *DecodeName(const char *text, size_t len);

#endif
