/*
 * relay.h
 *		Consumers by numbers.
 */
#ifndef ACTEON_RELAY_H
#define ACTEON_RELAY_H

#include "queue/segment.h"

/* Maximum length of an address that is kept, in bytes. */
#define GATEWAY_MAXLEN 500

extern text *ClipGateway(text *gateway);
extern char *OtherTarget(Oid schema, const char *target, const text *gateway);
extern int32 RelayNumber(Oid schema, const text *name, const char *target, const text *gateway);
extern void PurgeRelays(Oid schema, TimestampTz before);

#endif /* ACTEON_RELAY_H */
