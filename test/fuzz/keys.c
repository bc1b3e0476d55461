/*
 * keys.c
 *		Files with keys: for the gateway, for sealed payloads, and for signatures.  Whatever
 *		stands in one, it is read or refused with an error that shows none of it.
 *
 * Sources: relay/sealed.c relay/signing.c relay/canonical.c common/json.c common/buffer.c common/encoded.c common/secret.c common/clock.c common/log.c
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "common/secret.h"
#include "relay/sealed.h"
#include "relay/signing.h"

/* The file's name stands in errors, with a number that is the same for all. */
static void
check_error(char *error)
{
	CHECK(error != NULL && strlen(error) < 400 && IsUtf8(error, strlen(error)));
	free(error);
}

/* Sign something with the keys that were read. */
static void
use_signers(const Signers *signers)
{
	static const char action[] =
		"{\"id\": \"a\", \"namespace\": \"prod\", \"tenant\": \"acme\", \"provider\": \"email\", "
		"\"action_type\": \"send\", \"payload\": {}, \"created_at\": \"2026-01-15T12:00:00Z\"}";
	Buffer members = {0}, error = {0};
	Signature signature = SignAction(signers, action, strlen(action), &members, &error);

	CHECK(SignersCount(signers) > 0 && signature != CANNOT_SIGN);
	if (signature == SIGNED)
	{
		Buffer body = {0};

		BufferAppendText(&body, action);
		SignatureAppend(&body, &members);
		CHECK(JsonIsValid(body.data, body.len));
		BufferFree(&body);
	}
	BufferFree(&members);
	BufferFree(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[40];
	char *paths[1] = {path};
	TextList files = {1, paths};
	Buffer key;
	char *error = NULL;
	Keyring *ring;
	Signers *signers;

	if (fd < 0)
	{
		fd = memfd_create("keys", 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	}
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t) size);

	if (SecretReadApiKey(path, &key, &error))
	{
		for (size_t i = 0; i < key.len; i++)
			CHECK(key.data[i] > ' ' && key.data[i] <= '~');
		BufferWipe(&key);
	}
	else
		check_error(error);
	ring = KeyringRead(&files, &error);
	if (ring != NULL)
		CHECK(KeyringCount(ring) > 0);
	else
		check_error(error);
	KeyringFree(ring);
	signers = SignersRead(path, &error);
	if (signers != NULL)
		use_signers(signers);
	else
		check_error(error);
	SignersFree(signers);
	return 0;
}
