/*
 * failover.h
 *		Noticing that the newest commits may be lost.
 */
#ifndef ACTEON_FAILOVER_H
#define ACTEON_FAILOVER_H

extern void NoticeServer(Oid schema, Oid role);

#endif /* ACTEON_FAILOVER_H */
