/*
 * credentials.c
 *		The API key of a request.
 *
 * Only the SHA-256 of a key is ever compared, by an index of the database: the
 * time this takes reveals at most something about the hash, from which the key
 * cannot be derived.  A request without a key is processed in the same way, with
 * the hash of random bytes.
 */
#include "http/credentials.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

static unsigned char nobody[SHA256_BYTES];

/*
 * Hash some bytes.
 */
void
Sha256(const void *data, size_t len, unsigned char *hash)
{
	unsigned int size = SHA256_BYTES;

	/* It cannot fail but for want of memory. */
	if (EVP_Digest(data, len, hash, &size, EVP_sha256(), NULL) != 1)
		memcpy(hash, nobody, SHA256_BYTES);
}

/*
 * Begin: draw what a request without a key is looked up as.
 */
bool
CredentialsStart(void)
{
	return RAND_bytes(nobody, sizeof(nobody)) == 1;
}

/*
 * The hash of the key in the headers of a request, which are NULL if they are
 * missing: "Authorization: Bearer <key>" (RFC 6750), else "X-API-Key: <key>".
 * False if there is neither header; a header without a key counts as a wrong
 * key.
 */
bool
CredentialsHash(const char *authorization, const char *x_api_key, unsigned char *hash)
{
	const char *key = NULL;

	memcpy(hash, nobody, SHA256_BYTES);
	if (authorization != NULL && strncasecmp(authorization, "Bearer ", 7) == 0)
		key = authorization + 7 + strspn(authorization + 7, " ");
	else
		key = x_api_key;
	if (key != NULL && *key != '\0')
		Sha256(key, strlen(key), hash);
	return authorization != NULL || x_api_key != NULL;
}
