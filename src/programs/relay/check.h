/*
 * check.h
 *		--check: try everything that the relay needs.
 */
#ifndef CHECK_H
#define CHECK_H

#include "relay/settings.h"

extern int CheckRun(const Settings *settings);

#endif
