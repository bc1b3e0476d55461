/*
 * wake.h
 *		Waking consumers up.
 */
#ifndef ACTEON_WAKE_H
#define ACTEON_WAKE_H

extern void NotifyConsumers(Oid schema);
extern bool BeginSleep(Oid schema);
extern void EndSleep(Oid schema);
extern bool IsAnyAsleep(Oid schema);

#endif /* ACTEON_WAKE_H */
