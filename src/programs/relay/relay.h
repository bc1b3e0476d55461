/*
 * relay.h
 *		The relay as a whole.
 */
#ifndef RELAY_H
#define RELAY_H

#include "relay/settings.h"

extern int RelayRun(const Settings *settings);

#endif
