/*
 * easy.c
 *		Handles of libcurl, as every request to the gateway needs them.
 */
#include "relay/easy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "relay/answer.h"

/* How long a try waits. */
#define MAX_TRY_TIME (10 * SECOND)

#define MAX_CONNECT_TIME (5 * SECOND)

/* A connection is not used for longer, so that changes in DNS are followed. */
#define MAX_CONNECTION_AGE 300L

/* One that was idle for longer is not used again: servers and proxies that close
 * idle connections do so after five seconds at the earliest, and what is sent to
 * one that is just being closed is in doubt. */
#define MAX_CONNECTION_IDLE 3L

/* A peer that is gone is noticed after a minute and a half. */
#define KEEPALIVE_IDLE 30L
#define KEEPALIVE_INTERVAL 10L

/*
 * What must not fail: options that this libcurl lacks, calls that are wrong.
 */
void
EasyMust(bool good, const char *what, const char *why)
{
	if (good)
		return;
	Log(LOG_ERROR, "libcurl cannot do what is needed", LogText("what", what), LogText("why", why));
	exit(1);
}

/*
 * Make the headers of all requests.
 */
Headers *
HeadersMake(const Buffer *key)
{
	static const char *const fixed[] = {
		"Content-Type: application/json",
		"Accept: application/json",
		"Expect:",
	};
	Headers *headers = Allocate(sizeof(Headers));
	struct curl_slist *list;

	headers->users = 1;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
	{
		list = curl_slist_append(headers->list, fixed[i]);
		EasyMust(list != NULL, "headers", "out of memory");
		headers->list = list;
	}
	if (key->len > 0)
	{
		Buffer line = {0};

		BufferReserve(&line, key->len + 32);
		BufferAppendText(&line, "Authorization: Bearer ");
		BufferAppend(&line, key->data, key->len);
		list = curl_slist_append(headers->list, line.data);
		EasyMust(list != NULL, "headers", "out of memory");
		headers->list = list;
		BufferWipe(&line);
	}
	return headers;
}

/*
 * Somebody does not use the headers any more; overwrite them after the last.
 */
void
HeadersRelease(Headers *headers)
{
	if (headers == NULL || --headers->users > 0)
		return;
	for (struct curl_slist *line = headers->list; line != NULL; line = line->next)
		OPENSSL_cleanse(line->data, strlen(line->data));
	curl_slist_free_all(headers->list);
	free(headers);
}

/*
 * Open a socket for a connection.  The sockets that libcurl makes for itself do
 * not come from here.
 */
static curl_socket_t
open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void) owner;
	(void) purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	LoopKeep(fd);
	return fd;
}

/*
 * Close it: the loop must know before.
 */
static int
close_socket(void *owner, curl_socket_t fd)
{
	(void) owner;
	LoopForget(fd);
	return close(fd);
}

/*
 * Set what all requests have in common.  Certificates are always verified, and
 * neither a proxy nor credentials are taken from the environment.
 */
CURL *
EasyMake(const Settings *settings, const char *path)
{
	CURL *easy = curl_easy_init();
	char *url = Format("%s%s", settings->gateway_url, path);
	int64_t connect_time = Earlier(settings->request_timeout, MAX_CONNECT_TIME);

	EasyMust(easy != NULL, "curl_easy_init", "out of memory");
	SET(easy, CURLOPT_URL, url);
	free(url);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(easy, CURLOPT_USERAGENT, "acteon-relay/" ACTEON_VERSION);
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_NOPROXY, "*");
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for the thread that looks a name up, when that takes too long. */
	SET(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(easy, CURLOPT_NOPROGRESS, 1L);
	SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE);
	SET(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL);
	SET(easy, CURLOPT_MAXLIFETIME_CONN, MAX_CONNECTION_AGE);
	SET(easy, CURLOPT_MAXAGE_CONN, MAX_CONNECTION_IDLE);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) (connect_time / MILLISECOND));
	SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (settings->ca_file != NULL)
	{
		SET(easy, CURLOPT_CAINFO, settings->ca_file);
		SET(easy, CURLOPT_CAPATH, NULL);
	}
	if (settings->client_cert != NULL)
		SET(easy, CURLOPT_SSLCERT, settings->client_cert);
	if (settings->client_key != NULL)
		SET(easy, CURLOPT_SSLKEY, settings->client_key);
	return easy;
}

/*
 * Have the loop know of the sockets of a handle.
 */
void
EasyUseLoop(CURL *easy)
{
	SET(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
}

/*
 * Say why there is no whole answer, if libcurl has not.  With TLS 1.3 a client
 * learns that its certificate was refused when it reads, and often only that the
 * connection is gone; curl's words alone do not lead anybody there.
 */
void
EasyDescribe(CURL *easy, CURLcode code, char *error)
{
	const char *url = NULL;
	size_t len;

	if (error[0] == '\0')
		snprintf(error, EASY_ERROR_SIZE, "%s", curl_easy_strerror(code));
	len = strlen(error);
	if ((code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING) &&
		curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url != NULL &&
		strncasecmp(url, "https:", 6) == 0)
		snprintf(error + len, EASY_ERROR_SIZE - len,
				 " (over TLS: was the client certificate refused?)");
}

/*
 * Take a part of the answer to a try; one that is too large is broken off.
 */
static size_t
take_answer(char *data, size_t size, size_t count, void *owner)
{
	Buffer *answer = owner;

	if (count > MAX_ANSWER - answer->len)
		return 0;
	BufferAppend(answer, data, size * count);
	return size * count;
}

/*
 * Send one request and wait for the answer, whose body goes to a buffer: a POST of
 * a body, or, without one, a GET.  Returns the status, or 0 with what went wrong
 * instead of the answer.
 */
long
EasyTry(const Settings *settings, const Buffer *key, const char *path, const char *body,
		Buffer *answer)
{
	Headers *headers = HeadersMake(key);
	CURL *easy = EasyMake(settings, path);
	char error[EASY_ERROR_SIZE] = "";
	int64_t patience = Earlier(settings->request_timeout, MAX_TRY_TIME);
	long status = 0;
	CURLcode code;

	BufferClear(answer);
	SET(easy, CURLOPT_WRITEFUNCTION, take_answer);
	SET(easy, CURLOPT_WRITEDATA, answer);
	SET(easy, CURLOPT_ERRORBUFFER, error);
	SET(easy, CURLOPT_HTTPHEADER, headers->list);
	SET(easy, CURLOPT_TIMEOUT_MS, (long) (patience / MILLISECOND));
	if (body != NULL)
		SET(easy, CURLOPT_POSTFIELDS, body);
	code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
	{
		EasyDescribe(easy, code, error);
		BufferClear(answer);
		BufferAppendText(answer, error);
		status = 0;
	}
	curl_easy_cleanup(easy);
	HeadersRelease(headers);
	return status;
}
