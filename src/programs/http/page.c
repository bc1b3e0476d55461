/*
 * page.c
 *		The page for people, which uses the interface from a browser.
 *
 * It is page.html beside this file, which is part of the program.  It needs nothing from
 * elsewhere, so its Content-Security-Policy permits nothing but its own script and style,
 * which it knows by their hashes, and requests to this server: text of an action that
 * became a script would not run.
 */
#include "http/page.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "http/credentials.h"
#include "http/embed.h"

EMBED(page, "src/programs/http/page.html");

/* What makes one version of the page another one. */
#define ETAG_BYTES 16

/* SHA-256 in base64. */
#define HASH_TEXT 45

/*
 * The hash, in base64, of the text between two tags of the page, of which each is there
 * once.
 */
static void
hash_between(const char *begin, const char *end, char *text)
{
	const char *from = strstr(page_text, begin);
	const char *to = from != NULL ? strstr(from, end) : NULL;
	unsigned char hash[SHA256_BYTES] = {0};

	if (to != NULL)
		Sha256(from + strlen(begin), (size_t) (to - from) - strlen(begin), hash);
	EVP_EncodeBlock((unsigned char *) text, hash, sizeof(hash));
}

/*
 * The policy for the page.
 */
static const char *
policy_of_page(void)
{
	static char policy[512];
	char script[HASH_TEXT];
	char style[HASH_TEXT];

	if (*policy == '\0')
	{
		hash_between("<script>", "</script>", script);
		hash_between("<style>", "</style>", style);
		snprintf(policy, sizeof(policy),
				 "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
				 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
				 "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
				 script, style);
	}
	return policy;
}

/*
 * What tells this version of the page from others.
 */
static const char *
etag_of_page(size_t len)
{
	static char etag[2 * ETAG_BYTES + 3];
	unsigned char hash[SHA256_BYTES];

	if (*etag == '\0')
	{
		char *out = etag;

		Sha256(page_text, len, hash);
		*out++ = '"';
		for (int i = 0; i < ETAG_BYTES; i++)
			out += snprintf(out, 3, "%02x", hash[i]);
		*out++ = '"';
		*out = '\0';
	}
	return etag;
}

/*
 * Answer with the page, or that the client has it already: if_none_match is that header,
 * or NULL.
 */
void
PageAnswer(Request *request, const char *if_none_match)
{
	size_t len = (size_t) ((uintptr_t) page_end - (uintptr_t) page_text);
	Answer *answer = &request->answer;

	answer->media_type = "text/html; charset=utf-8";
	answer->etag = etag_of_page(len);
	answer->policy = policy_of_page();
	answer->status = 200;
	if (if_none_match != NULL &&
		(strcmp(if_none_match, "*") == 0 || strstr(if_none_match, answer->etag) != NULL))
		answer->status = 304;
	else
		BufferAppend(&answer->body, page_text, len);
}
