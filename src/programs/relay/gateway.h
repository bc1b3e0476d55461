/*
 * gateway.h
 *		Requests to the gateway.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "relay/sink.h"

extern const SinkKind gateway_sink;

#endif
