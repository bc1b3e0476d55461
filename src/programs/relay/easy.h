/*
 * easy.h
 *		Handles of libcurl, as every request to the gateway needs them.
 */
#ifndef EASY_H
#define EASY_H

#include <stdbool.h>

#include <curl/curl.h>

#include "common/buffer.h"
#include "relay/settings.h"

/* The size of the text of an error. */
#define EASY_ERROR_SIZE (CURL_ERROR_SIZE + 100)

/* The headers of all requests, used until the key changes. */
typedef struct Headers
{
	struct curl_slist *list;
	int users;
} Headers;

#define SET(easy, option, value) \
	do \
	{ \
		CURLcode set_code = curl_easy_setopt(easy, option, value); \
\
		EasyMust(set_code == CURLE_OK, #option, curl_easy_strerror(set_code)); \
	} while (0)

#define SET_MULTI(multi, option, value) \
	do \
	{ \
		CURLMcode set_code = curl_multi_setopt(multi, option, value); \
\
		EasyMust(set_code == CURLM_OK, #option, curl_multi_strerror(set_code)); \
	} while (0)

extern void EasyMust(bool good, const char *what, const char *why);
extern Headers *HeadersMake(const Buffer *key);
extern void HeadersRelease(Headers *headers);
extern CURL *EasyMake(const Settings *settings, const char *path);
extern void EasyUseLoop(CURL *easy);
extern void EasyDescribe(CURL *easy, CURLcode code, char *error);
extern long EasyTry(const Settings *settings, const Buffer *key, const char *path, const char *body,
					Buffer *answer);

#endif
