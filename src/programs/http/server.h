/*
 * server.h
 *		The server as a whole.
 */
#ifndef SERVER_H
#define SERVER_H

#include "http/settings.h"

extern int ServerRun(const Settings *settings);

#endif
