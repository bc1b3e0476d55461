/*
 * sealed.c
 *		Payloads that the gateway has encrypted, and the keys that open them.
 *
 * A sealed payload is a JSON string
 *
 *		ENC[AES256-GCM,kid:<id>,data:<base64>,iv:<base64>,tag:<base64>]
 *
 * whose plaintext is the payload's JSON text.  As in the gateway, a kid that we
 * have a key of means that key and no other; without a kid, or with one that we do
 * not know, all keys are tried in their order.  A key in a file without an ID is
 * called k0.
 *
 * The payload goes through the database as it is; here it is opened just before it is
 * sent, and the plaintext is overwritten right after.
 */
#include "relay/sealed.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/encoded.h"
#include "common/json.h"
#include "common/secret.h"

#define IV_SIZE 12
#define TAG_SIZE 16
#define DEFAULT_KID "k0"

/* What a sealed payload begins with.  Another string is a payload like any other. */
#define SEAL_START "ENC[AES256-GCM,"

typedef struct PayloadKey
{
	char *kid;
	unsigned char bytes[KEY_BYTES];
} PayloadKey;

struct Keyring
{
	int count;
	PayloadKey *keys;
};

/* A piece of a text that belongs to somebody else. */
typedef struct Piece
{
	const char *text;
	size_t len;
} Piece;

/* The parts of a sealed payload. */
typedef struct Seal
{
	Piece kid;
	Piece data;
	Piece iv;
	Piece tag;
} Seal;

/*
 * Find a key by its id.
 */
static const PayloadKey *
find_key(const Keyring *ring, Piece kid)
{
	for (int i = 0; ring != NULL && i < ring->count; i++)
	{
		if (strlen(ring->keys[i].kid) == kid.len &&
			memcmp(ring->keys[i].kid, kid.text, kid.len) == 0)
			return &ring->keys[i];
	}
	return NULL;
}

/*
 * Add the key of a line: kid:key, or a key alone.  The last colon counts, since
 * a key has none.
 */
static bool
add_key(Keyring *ring, Piece line)
{
	const char *colon = memrchr(line.text, ':', line.len);
	Piece kid = {DEFAULT_KID, strlen(DEFAULT_KID)};
	Piece key = line;
	PayloadKey *keys;

	if (colon != NULL)
	{
		kid = (Piece){line.text, (size_t) (colon - line.text)};
		key = (Piece){colon + 1, line.len - kid.len - 1};
	}
	if (kid.len == 0 || find_key(ring, kid) != NULL)
		return false;

	/* Not realloc: it would leave a copy of the keys behind. */
	keys = Allocate((ring->count + 1) * sizeof(PayloadKey));
	if (ring->count > 0)
	{
		memcpy(keys, ring->keys, ring->count * sizeof(PayloadKey));
		OPENSSL_cleanse(ring->keys, ring->count * sizeof(PayloadKey));
	}
	free(ring->keys);
	ring->keys = keys;
	ring->keys[ring->count].kid = Duplicate(kid.text, kid.len);
	return DecodeKey(key.text, key.len, ring->keys[ring->count++].bytes);
}

/*
 * The same for a line of a file.
 */
static bool
take_line(void *ring, const char *line, size_t len)
{
	return add_key(ring, (Piece){line, len});
}

/*
 * Read the keys of some files.  NULL with an error, which the caller frees, if
 * one cannot be read.
 */
Keyring *
KeyringRead(const TextList *files, char **error)
{
	Keyring *ring = Allocate(sizeof(Keyring));

	*error = NULL;
	for (int i = 0; i < files->count; i++)
	{
		if (!SecretReadLines(files->texts[i], take_line, ring,
							 "ID:KEY or KEY, with 64 hex digits or 44 of base64, each ID once",
							 error))
		{
			KeyringFree(ring);
			return NULL;
		}
	}
	return ring;
}

/*
 * Overwrite the keys and give them back.
 */
void
KeyringFree(Keyring *ring)
{
	if (ring == NULL)
		return;
	for (int i = 0; i < ring->count; i++)
		free(ring->keys[i].kid);
	if (ring->count > 0)
		OPENSSL_cleanse(ring->keys, ring->count * sizeof(PayloadKey));
	free(ring->keys);
	free(ring);
}

/*
 * How many keys there are.
 */
int
KeyringCount(const Keyring *ring)
{
	return ring->count;
}

/*
 * Take a prefix off a piece.
 */
static bool
take_prefix(Piece *in, const char *prefix)
{
	size_t len = strlen(prefix);

	if (in->len < len || memcmp(in->text, prefix, len) != 0)
		return false;
	*in = (Piece){in->text + len, in->len - len};
	return true;
}

/*
 * Take what stands before a comma off a piece, and the comma.
 */
static bool
take_field(Piece *in, Piece *field)
{
	const char *comma = memchr(in->text, ',', in->len);

	if (comma == NULL)
		return false;
	*field = (Piece){in->text, (size_t) (comma - in->text)};
	*in = (Piece){comma + 1, in->len - field->len - 1};
	return true;
}

/*
 * Take a sealed payload apart.
 */
static bool
parse_seal(Piece in, Seal *seal)
{
	*seal = (Seal){.kid = {NULL, 0}};
	if (!take_prefix(&in, SEAL_START))
		return false;
	if (take_prefix(&in, "kid:") && (!take_field(&in, &seal->kid) || seal->kid.len == 0))
		return false;
	if (!take_prefix(&in, "data:") || !take_field(&in, &seal->data) || !take_prefix(&in, "iv:") ||
		!take_field(&in, &seal->iv) || !take_prefix(&in, "tag:") || in.len == 0 ||
		in.text[in.len - 1] != ']')
		return false;
	seal->tag = (Piece){in.text, in.len - 1};
	return true;
}

/*
 * Decrypt.  Only if this succeeds is the tag right, and may the plaintext be
 * looked at.
 */
static bool
decrypt(const PayloadKey *key, const unsigned char *iv, unsigned char *tag,
		const unsigned char *data, size_t len, unsigned char *plain)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int done = 0, rest = 0;
	bool good;

	good = context != NULL && len <= INT_MAX &&
		   EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, iv) == 1 &&
		   EVP_DecryptUpdate(context, plain, &done, data, (int) len) == 1 &&
		   EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
		   EVP_DecryptFinal_ex(context, plain + done, &rest) == 1 && (size_t) (done + rest) == len;
	EVP_CIPHER_CTX_free(context); /* cleanses the key schedule */
	return good;
}

/*
 * Open a seal with one key.  The plaintext is put behind what opened holds, which
 * has room for it; its length is returned.  False if this is not the key, or the
 * seal is damaged.
 */
static bool
open_seal(const PayloadKey *key, const Seal *seal, Buffer *opened, size_t *len)
{
	unsigned char iv[IV_SIZE + 3], tag[TAG_SIZE + 3];
	unsigned char *data;
	size_t iv_len, tag_len;
	bool good;

	if (seal->iv.len > IV_SIZE / 3 * 4 || seal->tag.len > (TAG_SIZE + 2) / 3 * 4 ||
		!DecodeBase64(seal->iv.text, seal->iv.len, iv, &iv_len) || iv_len != IV_SIZE ||
		!DecodeBase64(seal->tag.text, seal->tag.len, tag, &tag_len) || tag_len != TAG_SIZE)
		return false;
	data = Allocate(seal->data.len);
	good = DecodeBase64(seal->data.text, seal->data.len, data, len) &&
		   decrypt(key, iv, tag, data, *len, (unsigned char *) opened->data + opened->len);
	free(data);
	return good;
}

/*
 * Open a seal with the key that it names, or else with any.  The plaintext is
 * appended to opened, which has room for it.  Returns NULL, or what is wrong.
 */
static const char *
open_with_ring(const Keyring *ring, const Seal *seal, Buffer *opened)
{
	const PayloadKey *named = seal->kid.len > 0 ? find_key(ring, seal->kid) : NULL;
	int count = ring == NULL ? 0 : ring->count;
	bool good = false;
	size_t len = 0;

	if (named != NULL)
		good = open_seal(named, seal, opened, &len);
	for (int i = 0; named == NULL && !good && i < count; i++)
		good = open_seal(&ring->keys[i], seal, opened, &len);
	if (!good && named != NULL)
		return "and cannot be opened with it: it was damaged, or the key is another one of this "
			   "name";
	if (!good && count == 0)
		return "and this relay has no keys";
	if (!good)
		return seal->kid.len > 0
				   ? "which this relay does not have, and none of its other keys opens it"
				   : "and none of this relay's keys opens it";
	if (!JsonIsValid(opened->data + opened->len, len))
		return "and what is inside is not JSON";
	opened->len += len;
	return NULL;
}

/*
 * If the payload of an action is sealed, write the action with the opened one
 * to a new buffer.  An error names the key and shows neither it nor the text.
 *
 * The payload is the first member of that name: before it are only strings,
 * in which a quote would be escaped.
 */
Unsealed
OpenSealedPayload(const Keyring *ring, const char *action, size_t len, Buffer *opened,
				  Buffer *error)
{
	static const char member[] = ", \"payload\": ";
	static const char quoted_start[] = "\"" SEAL_START;
	const char *end = action + len;
	const char *start = memmem(action, len, member, sizeof(member) - 1);
	const char *stop;
	const char *why;
	Seal seal;

	if (start == NULL)
		return NOT_SEALED;
	start += sizeof(member) - 1;
	if ((size_t) (end - start) < sizeof(quoted_start) - 1 ||
		memcmp(start, quoted_start, sizeof(quoted_start) - 1) != 0)
		return NOT_SEALED;

	/* A seal has nothing that is escaped, so the next quote ends it. */
	stop = memchr(start + 1, '"', (size_t) (end - start - 1));
	if (stop == NULL || !parse_seal((Piece){start + 1, (size_t) (stop - start - 1)}, &seal))
	{
		BufferAppendText(error, "payload is sealed, but not as ENC[AES256-GCM,...]");
		return CANNOT_OPEN;
	}
	/* Plaintext is shorter than its base64: the buffer will not grow. */
	BufferReserve(opened, len);
	BufferAppend(opened, action, (size_t) (start - action));
	why = open_with_ring(ring, &seal, opened);
	if (why == NULL)
	{
		BufferAppend(opened, stop + 1, (size_t) (end - stop - 1));
		return OPENED;
	}
	BufferWipe(opened);
	BufferAppendText(error, "payload is sealed ");
	if (seal.kid.len > 0)
	{
		BufferAppendText(error, "with key \"");
		AppendCleanText(error, seal.kid.text, seal.kid.len, 100);
		BufferAppendText(error, "\", ");
	}
	else
		BufferAppendText(error, "without the name of a key, ");
	BufferAppendText(error, why);
	return CANNOT_OPEN;
}
