/*
 * reason.h
 *		The reason that a caller gives.
 */
#ifndef ACTEON_REASON_H
#define ACTEON_REASON_H

#include "fmgr.h"

extern bool IsBlankReason(const char *reason);
extern void CheckReason(const char *reason);
extern const char *ReasonArgument(FunctionCallInfo fcinfo, int argument);

#endif /* ACTEON_REASON_H */
