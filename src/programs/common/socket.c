/*
 * socket.c
 *		The socket that clients connect to.
 */
#include "common/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define BACKLOG 1024

/*
 * Read an IPv4 or IPv6 address without brackets into a socket address.
 */
static bool
read_ip(const char *host, bool is_ipv6, int port, Address *address)
{
	if (is_ipv6)
	{
		struct sockaddr_in6 *ip = (struct sockaddr_in6 *) &address->storage;

		ip->sin6_family = AF_INET6;
		ip->sin6_port = htons((uint16_t) port);
		address->len = sizeof(*ip);
		return inet_pton(AF_INET6, host, &ip->sin6_addr) == 1;
	}
	else
	{
		struct sockaddr_in *ip = (struct sockaddr_in *) &address->storage;

		ip->sin_family = AF_INET;
		ip->sin_port = htons((uint16_t) port);
		address->len = sizeof(*ip);
		return inet_pton(AF_INET, host, &ip->sin_addr) == 1;
	}
}

/*
 * An address and a port, as an option's value.
 */
const char *
ReadAddress(const Option *option, const char *text, void *place)
{
	static const char expected[] = "an IP address and a port, as 127.0.0.1:8080 or [::1]:8080";
	Address *address = place;
	const char *colon = strrchr(text, ':');
	char host[sizeof(address->text)];
	bool is_ipv6 = *text == '[';
	size_t len;
	char *end;
	long port;

	(void) option;
	if (colon == NULL || strlen(text) >= sizeof(address->text) || colon[1] < '0' || colon[1] > '9')
		return expected;
	port = strtol(colon + 1, &end, 10);
	len = (size_t) (colon - text);
	if (*end != '\0' || port > 65535 || (is_ipv6 && (len < 2 || colon[-1] != ']')))
		return expected;
	if (is_ipv6)
		len -= 2;
	memcpy(host, text + (is_ipv6 ? 1 : 0), len);
	host[len] = '\0';
	memset(address, 0, sizeof(*address));
	memcpy(address->text, text, strlen(text) + 1);
	return read_ip(host, is_ipv6, (int) port, address) ? NULL : expected;
}

/*
 * Can only this machine reach it?
 */
bool
AddressIsLoopback(const Address *address)
{
	if (address->storage.ss_family == AF_INET)
	{
		const struct sockaddr_in *ip = (const struct sockaddr_in *) &address->storage;

		return ntohl(ip->sin_addr.s_addr) >> 24 == 127;
	}
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) &address->storage)->sin6_addr);
}

/*
 * Listen there, and tell the port, which the system chooses if it is 0.  Returns
 * the socket, or -1 after saying what is wrong.
 */
int
SocketListen(const Address *address, int *port)
{
	struct sockaddr_storage bound = {0};
	socklen_t len = sizeof(bound);
	int on = 1;
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, (const struct sockaddr *) &address->storage, address->len) != 0 ||
		listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *) &bound, &len) != 0)
	{
		Log(LOG_ERROR, "cannot listen", LogText("address", address->text),
			LogText("error", strerror(errno)));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(bound.ss_family == AF_INET ? ((struct sockaddr_in *) &bound)->sin_port
											 : ((struct sockaddr_in6 *) &bound)->sin6_port);
	return fd;
}
