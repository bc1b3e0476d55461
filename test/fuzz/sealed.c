/*
 * sealed.c
 *		Sealed payloads: what is no seal is refused without a trace of it, what was sealed
 *		with a key of the ring is opened as it was, and a changed seal is not.
 *
 * The first byte is what to do: to open the rest as it is, or to seal it.
 *
 * Sources: relay/sealed.c common/json.c common/buffer.c common/encoded.c common/secret.c common/clock.c common/log.c
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/json.h"
#include "relay/sealed.h"

#define BEFORE "{\"id\": \"x\", \"payload\": "
#define AFTER ", \"tenant\": \"acme\"}"

static const unsigned char key[32] = {'k'};
static const unsigned char iv[12] = {'i'};

/* The ring: the key, by a name and without one. */
static Keyring *
make_ring(void)
{
	static const char lines[] =
		"a:6b00000000000000000000000000000000000000000000000000000000000000\n"
		"BgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
	char path[40];
	char *paths[1] = {path};
	TextList files = {1, paths};
	char *error = NULL;
	int fd = memfd_create("keys", 0);
	Keyring *ring;

	CHECK(fd >= 0 && write(fd, lines, sizeof(lines) - 1) == sizeof(lines) - 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ring = KeyringRead(&files, &error);
	CHECK(ring != NULL && KeyringCount(ring) == 2);
	close(fd);
	return ring;
}

/* Append bytes as base64. */
static void
append_base64(Buffer *to, const unsigned char *bytes, size_t len)
{
	BufferReserve(to, len / 3 * 4 + 5);
	to->len += (size_t) EVP_EncodeBlock((unsigned char *) to->data + to->len, bytes, (int) len);
}

/* Append the seal of a text. */
static void
seal(Buffer *to, const uint8_t *text, size_t len, const char *kid)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	unsigned char *sealed = Allocate(len + 16);
	unsigned char tag[16];
	int done = 0, rest = 0;

	CHECK(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
		  EVP_EncryptUpdate(context, sealed, &done, text, (int) len) == 1 &&
		  EVP_EncryptFinal_ex(context, sealed + done, &rest) == 1 &&
		  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, sizeof(tag), tag) == 1);
	BufferAppendText(to, "\"ENC[AES256-GCM,");
	BufferAppendText(to, kid);
	BufferAppendText(to, "data:");
	append_base64(to, sealed, len);
	BufferAppendText(to, ",iv:");
	append_base64(to, iv, sizeof(iv));
	BufferAppendText(to, ",tag:");
	append_base64(to, tag, sizeof(tag));
	BufferAppendText(to, "]\"");
	EVP_CIPHER_CTX_free(context);
	free(sealed);
}

/* What was sealed is opened, if it is JSON; with one byte changed it is not. */
static void
seal_and_open(const Keyring *ring, const uint8_t *text, size_t len, const char *kid, size_t changed)
{
	Buffer action = {0}, opened = {0}, error = {0};
	Unsealed result;
	size_t start;

	BufferAppendText(&action, BEFORE);
	start = action.len;
	seal(&action, text, len, kid);
	changed = start + strlen("\"ENC[AES256-GCM,") + strlen(kid) + strlen("data:") +
			  changed % (action.len - start);
	BufferAppendText(&action, AFTER);
	result = OpenSealedPayload(ring, action.data, action.len, &opened, &error);
	CHECK(result == (JsonIsValid((const char *) text, len) ? OPENED : CANNOT_OPEN));
	if (result == OPENED)
	{
		CHECK(opened.len == strlen(BEFORE) + len + strlen(AFTER));
		CHECK(memcmp(opened.data + strlen(BEFORE), text, len) == 0);
		CHECK(memcmp(opened.data + strlen(BEFORE) + len, AFTER, strlen(AFTER)) == 0);
		if (changed < action.len - strlen(AFTER) - 2)
		{
			action.data[changed] ^= 1;
			BufferClear(&opened);
			CHECK(OpenSealedPayload(ring, action.data, action.len, &opened, &error) == CANNOT_OPEN);
			CHECK(opened.len == 0);
		}
	}
	BufferFree(&action);
	BufferFree(&opened);
	BufferFree(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Keyring *ring;
	Buffer opened = {0}, error = {0};

	if (ring == NULL)
		ring = make_ring();
	if (size < 2)
		return 0;
	if (data[0] & 1)
		seal_and_open(ring, data + 2, size - 2,
					  data[0] & 2   ? "kid:a,"
					  : data[0] & 4 ? "kid:c,"
									: "",
					  data[1]);
	else if (OpenSealedPayload(ring, (const char *) data + 1, size - 1, &opened, &error) != OPENED)
		CHECK(opened.len == 0 && IsUtf8(BufferText(&error), error.len));
	BufferFree(&opened);
	BufferFree(&error);
	return 0;
}
