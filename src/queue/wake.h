/*
 * wake.h
 *		Waking consumers up.
 */
#ifndef ACTEON_WAKE_H
#define ACTEON_WAKE_H

extern void NotifyConsumers(Oid schema);

#endif /* ACTEON_WAKE_H */
