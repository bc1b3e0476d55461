/*
 * control_log.h
 *		The log of who has steered what.
 */
#ifndef ACTEON_CONTROL_LOG_H
#define ACTEON_CONTROL_LOG_H

#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/optional_time.h"

/* Details of an entry, being built; see BeginDetails. */
typedef struct LogDetails
{
	JsonbParseState *state;
} LogDetails;

extern void BeginDetails(LogDetails *details);
extern void AddNumberDetail(LogDetails *details, const char *name, int64 value);
extern void AddNumericDetail(LogDetails *details, const char *name, Numeric value);
extern void AddTextDetail(LogDetails *details, const char *name, const char *value);
extern void AddTimeDetail(LogDetails *details, const char *name, const OptionalTime *value);
extern void AddIntervalDetail(LogDetails *details, const char *name, Interval *value);
extern void AddJsonbDetail(LogDetails *details, const char *name, Jsonb *value);
extern Jsonb *EndDetails(LogDetails *details);
extern void LogControl(Oid schema, Oid role, const char *event, int64 batch_id, const char *reason,
					   Jsonb *details);

#endif /* ACTEON_CONTROL_LOG_H */
