/*
 * socket.h
 *		The socket that clients connect to.
 */
#ifndef SOCKET_H
#define SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/options.h"

typedef struct Address
{
	struct sockaddr_storage storage;
	socklen_t len;
	char text[64]; /* as it was given */
} Address;

extern const char *ReadAddress(const Option *option, const char *text, void *place);
extern bool AddressIsLoopback(const Address *address);
extern int SocketListen(const Address *address, int *port);

#endif
