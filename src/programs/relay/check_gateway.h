/*
 * check_gateway.h
 *		--check: what the gateway says to a dispatch that it does not execute.
 */
#ifndef CHECK_GATEWAY_H
#define CHECK_GATEWAY_H

#include "common/buffer.h"
#include "relay/settings.h"
#include "relay/signing.h"

/* What the key is tried with: as texts that stand in a JSON string. */
typedef struct Trial
{
	Buffer tenant;
	Buffer name_space;
	Buffer provider;
	Buffer action_type;
	bool known;
} Trial;

extern void TrialTake(Trial *trial, const char *const parts[4]);
extern void TrialFree(Trial *trial);
extern void CheckGateway(const Settings *settings, const Buffer *api_key, const Trial *trial,
						 const Signers *signers);

#endif
