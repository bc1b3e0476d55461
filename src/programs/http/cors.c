/*
 * cors.c
 *		Which web pages of other origins may use the interface (CORS).
 *
 * A browser keeps the answers from pages of other origins, and does not even send their
 * requests if these have a key, unless the server says that it takes them (the Fetch
 * Standard of the WHATWG).  By default it does not.  Keys are in headers that a page sets
 * itself, never in what a browser sends by itself, so credentials in the sense of
 * that standard are not allowed.
 */
#include "http/cors.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

#define ALL "*"

/*
 * Is it an origin as browsers write it: scheme, host and perhaps a port, in small letters?
 */
static bool
is_origin(const char *text)
{
	size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
					: strncmp(text, "http://", 7) == 0 ? 7
													   : 0;
	const char *host = text + scheme;
	size_t len = *host == '[' ? strspn(host, "[]:.0123456789abcdef")
							  : strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");
	const char *port = host + len;

	if (scheme == 0 || len == 0)
		return false;
	return *port == '\0' ||
		   (*port == ':' && port[1] >= '1' && port[1] <= '9' &&
			strspn(port + 1, "0123456789") == strlen(port + 1) && strlen(port + 1) <= 5);
}

/*
 * Origins with commas between them, as an option's value.
 */
const char *
ReadOrigins(const Option *option, const char *text, void *place)
{
	TextList *origins = place;
	char *copy = DuplicateText(text), *rest = copy;
	bool good = true;

	(void) option;
	for (char *origin; (origin = strsep(&rest, ",")) != NULL;)
	{
		origin += strspn(origin, " ");
		if (*origin == '\0')
			continue;
		good = good && (strcmp(origin, ALL) == 0 || is_origin(origin));
		origins->texts = Reallocate(origins->texts, (size_t) (origins->count + 1) * sizeof(char *));
		origins->texts[origins->count++] = DuplicateText(origin);
	}
	free(copy);
	return good ? NULL : "origins, as https://ops.example.com, with commas between them, or *";
}

/*
 * Are all origins among them?
 */
bool
OriginsHaveAll(const TextList *origins)
{
	for (int i = 0; i < origins->count; i++)
	{
		if (strcmp(origins->texts[i], ALL) == 0)
			return true;
	}
	return false;
}

/*
 * What Access-Control-Allow-Origin says to a page of an origin; NULL: nothing.
 */
const char *
OriginAllowed(const TextList *origins, const char *origin)
{
	if (origin == NULL)
		return NULL;
	if (OriginsHaveAll(origins))
		return ALL;
	for (int i = 0; i < origins->count; i++)
	{
		if (strcmp(origins->texts[i], origin) == 0)
			return origins->texts[i];
	}
	return NULL;
}
