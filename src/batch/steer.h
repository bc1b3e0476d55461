/*
 * steer.h
 *		Pausing and resuming a whole batch.
 */
#ifndef ACTEON_STEER_H
#define ACTEON_STEER_H

#include "utils/jsonb.h"

#include "batch/may_steer.h"

extern void PauseWhole(ControlCall *call, Jsonb *details);
extern void ResumeWhole(ControlCall *call, bool parts);

#endif /* ACTEON_STEER_H */
