/*
 * parameters.h
 *		What stands in a path and a query string.
 */
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include <stdbool.h>

#include "base/error_codes.h"
#include "common/buffer.h"
#include "query/options.h"

/* Values by OptionId: NULL for what was not given. */
typedef struct Parameters
{
	char *values[NUM_OPTIONS];
	bool are_members[NUM_OPTIONS]; /* of the JSON object that was read */
	const char *clamped;           /* the limit, if another one was given */
	ErrorCode fault;               /* of what is wrong, if it is not a value */
} Parameters;

extern char *ParametersRead(Parameters *parameters, const char *query, CallSet takes);
extern char *
ParametersTake(Parameters *parameters, char *name, char *value, bool is_number, CallSet takes);
extern char *ParametersTakeNull(Parameters *parameters, char *name, CallSet takes);
extern char *ParametersComplete(Parameters *parameters, CallSet takes);
extern void ParametersFree(Parameters *parameters);
extern bool ParameterIsTrue(const Parameters *parameters, OptionId id);
extern void ParametersToQuery(const Parameters *parameters, Buffer *json);

extern const char *ParametersPage(CallSet call);
extern char *ParametersNextPage(const char *query, const char *name, const char *value);

extern char *DecodeName(const char *text, size_t len);
extern char *EncodeText(const char *text);

#endif
