/*
 * check.h
 *		--check: try everything that the server needs.
 */
#ifndef CHECK_H
#define CHECK_H

#include "http/settings.h"

extern int CheckRun(const Settings *settings);

#endif
