/*
 * may_steer.h
 *		Steering a batch.
 */
#ifndef ACTEON_MAY_STEER_H
#define ACTEON_MAY_STEER_H

#include "fmgr.h"

#include "access/grants.h"
#include "base/identity.h"
#include "batch/batch_row.h"

/* In which ways a batch may be steered; each includes those before it. */
typedef enum Steering
{
	STEER_NOT,
	STEER_RESTRAIN, /* only such that less of it goes out, or later */
	STEER_FREELY
} Steering;

/* A call that steers a batch; see BeginControl. */
typedef struct ControlCall
{
	Oid schema; /* of the extension */
	Oid caller;
	Grants *grants; /* of the caller */
	TimestampTz now;
	Identity saved;
	int64 batch_id;
	const char *reason; /* NULL: none given */
	HeldBatch held;
} ControlCall;

/* What came of holding one of many batches; see HoldOneOfMany. */
typedef enum HoldOutcome
{
	HOLD_HELD,
	HOLD_BUSY,    /* another session has its row */
	HOLD_REFUSED, /* the caller may not steer it */
	HOLD_GONE     /* it does not exist */
} HoldOutcome;

/* Refuses a caller who may not do it, given the locked batch; see BeginControlBy. */
typedef void (*ControlCheck)(ControlCall *call, Grants *grants);

extern bool
FindUncoveredOfBatch(ControlCall *call, Grants *grants, GrantPurpose purpose, text **parts);
extern Steering MayBeSteered(Oid schema, int64 batch_id, Oid role, Grants *grants);
extern void BeginControlBy(ControlCall *call, FunctionCallInfo fcinfo, const char *function,
						   int batch_argument, int reason_argument, ControlCheck check);
extern void BeginControl(ControlCall *call, FunctionCallInfo fcinfo, const char *function,
						 int batch_argument, int reason_argument);
extern void BeginRestraint(ControlCall *call, FunctionCallInfo fcinfo, const char *function,
						   int batch_argument, int reason_argument);
extern void BeginControlOfMany(ControlCall *call, FunctionCallInfo fcinfo, const char *function,
							   int reason_argument);
extern HoldOutcome HoldOneOfMany(ControlCall *call, int64 batch_id, Steering steering, bool wait);
extern bool SeesRefused(ControlCall *call);
extern void EndControlOfMany(ControlCall *call);
extern void RequireSteering(ControlCall *call);
extern bool IsFinished(ControlCall *call);
extern bool NoticeFinished(ControlCall *call);
extern void EndControl(ControlCall *call);

#endif /* ACTEON_MAY_STEER_H */
