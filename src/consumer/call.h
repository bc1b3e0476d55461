/*
 * call.h
 *		Calls of the gateway's side: what they share.
 */
#ifndef ACTEON_CALL_H
#define ACTEON_CALL_H

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "base/identity.h"

/* What the error of an action says that a claim ended dead, behind its id. */
#define CANNOT_BE_HANDED_OUT "cannot be handed out"

/* A call by a consumer. */
typedef struct ConsumerCall
{
	Oid schema; /* of the extension */
	TimestampTz now;
	Identity caller;
} ConsumerCall;

/* An array argument. */
typedef struct ArrayArgument
{
	Datum *values;
	bool *nulls;
	int count;
} ArrayArgument;

extern void
BeginConsumerCall(ConsumerCall *call, FunctionCallInfo fcinfo, const char *function, bool writes);
extern void EndConsumerCall(ConsumerCall *call);
extern void CheckArguments(FunctionCallInfo fcinfo, int count);
extern ArrayArgument ReadArray(FunctionCallInfo fcinfo, int argument, const char *name);
extern ArrayArgument ReadIds(FunctionCallInfo fcinfo, int argument, const char *name);
extern void CheckSameLength(const ArrayArgument *ids, const ArrayArgument *other, const char *name);
extern int PositiveInteger(FunctionCallInfo fcinfo, int argument, const char *name);
extern TimestampTz LeaseEnd(FunctionCallInfo fcinfo, int argument, TimestampTz now);

extern void
DeleteRows(Oid schema, const char *table, const char *column, const Datum *ids, int count);

#endif /* ACTEON_CALL_H */
