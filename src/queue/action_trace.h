/*
 * action_trace.h
 *		Writing down each transition of an action, for whoever looks for a fault.
 */
#ifndef ACTEON_ACTION_TRACE_H
#define ACTEON_ACTION_TRACE_H

#include "utils/uuid.h"

#include "queue/delivery.h"
#include "queue/segment.h"

extern void BeginTracedCall(const char *function);
extern void TraceEnqueued(int64 outbox_id, int64 batch_id, const text *original, const char *target,
						  int generation, const pg_uuid_t *action_id);
extern void TraceHandedOut(int64 outbox_id, const Segment *lease, const pg_uuid_t *action_id);
extern void TraceSegment(const Segment *segment);
extern void TraceDelivery(const Delivery *delivery, Effect effect);
extern void TraceFailover(void);

#endif /* ACTEON_ACTION_TRACE_H */
