/*
 * gateway.h
 *		Requests to the gateway.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "relay/answer.h"
#include "relay/settings.h"

typedef struct Gateway Gateway;

typedef struct GatewayHandlers
{
	void *owner;
	/* Called once for each request.  The answer is good until the call returns. */
	void (*answered)(void *owner, void *item, const Answer *answer, int64_t duration);
} GatewayHandlers;

extern Gateway *GatewayOpen(const Settings *settings, const Buffer *key, GatewayHandlers handlers);
extern void GatewayClose(Gateway *gateway);
extern void GatewaySetKey(Gateway *gateway, const Buffer *key);
extern void GatewaySend(Gateway *gateway, const char *body, size_t len, void *item);
extern void GatewayAbort(Gateway *gateway, const char *why);
extern int GatewayInFlight(const Gateway *gateway);

#endif
