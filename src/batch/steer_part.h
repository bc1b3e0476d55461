/*
 * steer_part.h
 *		Steering a part of a batch.
 */
#ifndef ACTEON_STEER_PART_H
#define ACTEON_STEER_PART_H

#include "batch/control_log.h"
#include "batch/may_steer.h"
#include "queue/part.h"

extern bool ReadPart(PartFilter *part, FunctionCallInfo fcinfo, int argument);
extern void AddPartDetails(LogDetails *details, const PartFilter *part);
extern void PausePart(ControlCall *call, const PartFilter *part);
extern void ResumePart(ControlCall *call, const PartFilter *part);
extern void ResumeAllParts(ControlCall *call);
extern void CancelPart(ControlCall *call, const PartFilter *part);
extern bool SlowsPartDown(const ControlCall *call, Numeric rate);
extern void SetPartRate(ControlCall *call, const PartFilter *part, Numeric rate);
extern void ApplyParts(HeldBatch *held, Oid schema, int64 after_id, TimestampTz now);

#endif /* ACTEON_STEER_PART_H */
