/*
 * signing.c
 *		Signatures of actions, and the keys that make them.
 *
 * A line of a key file is
 *
 *		SIGNER[:KID] TENANT NAMESPACE SEED
 *
 * where * is any tenant or namespace.  Of the keys for an action the one that names both
 * is used, else one that names its tenant, else one that names its namespace.  As in the
 * gateway's keyring, a tenant means that one alone and not those below it.
 *
 * The seeds are kept by OpenSSL, which overwrites them when it gives them back.
 */
#include "relay/signing.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/encoded.h"
#include "common/json.h"
#include "common/secret.h"
#include "relay/canonical.h"

#define SIGNATURE_SIZE 64

/* Room for its base64. */
#define SIGNATURE_TEXT_SIZE ((SIGNATURE_SIZE + 2) / 3 * 4 + 1)

#define ANY "*"

/* Fields of a line. */
#define NUM_FIELDS 4

typedef struct Signer
{
	char *id;
	char *kid; /* NULL: none is named */
	char *tenant;
	char *name_space;
	EVP_PKEY *key;
} Signer;

struct Signers
{
	int count;
	Signer *signers;
};

/*
 * Take a line apart.  Returns false if it has not as many fields as it must have.
 */
static bool
split_line(const char *line, size_t len, const char *fields[NUM_FIELDS], size_t lens[NUM_FIELDS])
{
	size_t at = 0;
	int count = 0;

	while (at < len)
	{
		size_t from = at;

		while (at < len && line[at] != ' ' && line[at] != '\t')
			at++;
		if (count == NUM_FIELDS)
			return false;
		fields[count] = line + from;
		lens[count++] = at - from;
		while (at < len && (line[at] == ' ' || line[at] == '\t'))
			at++;
	}
	return count == NUM_FIELDS;
}

/*
 * Make a key of a seed.  NULL if it is none.
 */
static EVP_PKEY *
make_key(const char *text, size_t len)
{
	unsigned char seed[KEY_BYTES];
	EVP_PKEY *key = NULL;

	if (DecodeKey(text, len, seed))
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	OPENSSL_cleanse(seed, sizeof(seed));
	return key;
}

/*
 * Add the key of a line, the only one for its tenant and namespace.  The last colon
 * before the id of a key counts.
 */
static bool
add_signer(void *owner, const char *line, size_t len)
{
	Signers *signers = owner;
	const char *fields[NUM_FIELDS];
	size_t lens[NUM_FIELDS];
	const char *colon;
	Signer *signer;
	size_t id_len;

	if (!split_line(line, len, fields, lens) || !IsUtf8(line, len))
		return false;
	colon = memrchr(fields[0], ':', lens[0]);
	id_len = colon != NULL ? (size_t) (colon - fields[0]) : lens[0];
	signers->signers = Reallocate(signers->signers, (size_t) (signers->count + 1) * sizeof(Signer));
	signer = &signers->signers[signers->count++];
	*signer = (Signer){.id = Duplicate(fields[0], id_len),
					   .tenant = Duplicate(fields[1], lens[1]),
					   .name_space = Duplicate(fields[2], lens[2]),
					   .key = make_key(fields[3], lens[3])};
	if (colon != NULL && lens[0] > id_len + 1)
		signer->kid = Duplicate(colon + 1, lens[0] - id_len - 1);
	for (int i = 0; i < signers->count - 1; i++)
	{
		if (strcmp(signers->signers[i].tenant, signer->tenant) == 0 &&
			strcmp(signers->signers[i].name_space, signer->name_space) == 0)
			return false;
	}
	return id_len > 0 && signer->key != NULL;
}

/*
 * Read the keys of a file that nobody else can read.  NULL with an error, which the caller
 * frees, if it is wrong.
 */
Signers *
SignersRead(const char *path, char **error)
{
	Signers *signers = Allocate(sizeof(Signers));

	*error = NULL;
	if (SecretIsExposed(path))
		*error = Format("others can read \"%s\": chmod 600 it", path);
	else if (SecretReadLines(path, add_signer, signers,
							 "SIGNER[:KID] TENANT NAMESPACE SEED, with a seed of 64 hex digits or "
							 "44 of base64, and each TENANT NAMESPACE once",
							 error))
		return signers;
	SignersFree(signers);
	return NULL;
}

/*
 * Give the keys back.
 */
void
SignersFree(Signers *signers)
{
	if (signers == NULL)
		return;
	for (int i = 0; i < signers->count; i++)
	{
		Signer *signer = &signers->signers[i];

		free(signer->id);
		free(signer->kid);
		free(signer->tenant);
		free(signer->name_space);
		EVP_PKEY_free(signer->key);
	}
	free(signers->signers);
	free(signers);
}

/*
 * How many keys there are.
 */
int
SignersCount(const Signers *signers)
{
	return signers->count;
}

/*
 * How well a name that a key is for fits the one of an action: 2 if it is that, 1 if any
 * will do, 0 if it does not fit.
 */
static int
fits(const char *name, const Buffer *of_action)
{
	if (strcmp(name, ANY) == 0)
		return 1;
	return strlen(name) == of_action->len &&
				   memcmp(name, BufferText(of_action), of_action->len) == 0
			   ? 2
			   : 0;
}

/*
 * The key for an action, or NULL.
 */
static const Signer *
find_signer(const Signers *signers, const Canonical *action)
{
	const Signer *best = NULL;
	int best_fit = 0;

	for (int i = 0; i < signers->count; i++)
	{
		const Signer *signer = &signers->signers[i];
		int tenant = fits(signer->tenant, &action->tenant);
		int name_space = fits(signer->name_space, &action->name_space);
		int fit = tenant > 0 && name_space > 0 ? 2 * tenant + name_space : 0;

		if (fit > best_fit)
		{
			best = signer;
			best_fit = fit;
		}
	}
	return best;
}

/*
 * Sign some bytes; the signature is written in base64.
 */
static bool
sign(EVP_PKEY *key, const Buffer *text, char signature[SIGNATURE_TEXT_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char bytes[SIGNATURE_SIZE];
	size_t len = sizeof(bytes);
	bool good =
		context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestSign(context, bytes, &len, (const unsigned char *) text->data, text->len) == 1 &&
		len == sizeof(bytes);

	EVP_MD_CTX_free(context);
	if (good)
		EVP_EncodeBlock((unsigned char *) signature, bytes, sizeof(bytes));
	return good;
}

/*
 * Sign an action, the body as it is sent.  The members that it is to have at its end are
 * appended to a buffer, or the error to another one.
 */
Signature
SignAction(const Signers *signers, const char *action, size_t len, Buffer *members, Buffer *error)
{
	Canonical canonical;
	const Signer *signer = NULL;
	const char *why = "it is no action";
	char signature[SIGNATURE_TEXT_SIZE];
	Signature result = CANNOT_SIGN;

	/* The members are to stand before the brace at its end. */
	if (CanonicalRead(&canonical, action, len, &why) && action[len - 1] == '}')
	{
		signer = find_signer(signers, &canonical);
		if (signer == NULL)
			result = NO_SIGNER;
		else if (sign(signer->key, &canonical.text, signature))
			result = SIGNED;
		else
			result = NO_SIGNATURE;
	}
	if (result == SIGNED)
	{
		BufferPrint(members, ", \"signature\": \"%s\", \"signer_id\": ", signature);
		JsonAppendExactString(members, signer->id);
		if (signer->kid != NULL)
		{
			BufferAppendText(members, ", \"kid\": ");
			JsonAppendExactString(members, signer->kid);
		}
	}
	else if (result == CANNOT_SIGN)
		BufferPrint(error, "action cannot be signed: %s", why);
	else if (result == NO_SIGNATURE)
		BufferPrint(error, "OpenSSL does not sign with the key of %s", signer->id);
	else
	{
		BufferAppendText(error, "this relay has no key to sign for tenant ");
		JsonAppendString(error, BufferText(&canonical.tenant), canonical.tenant.len);
		BufferAppendText(error, ", namespace ");
		JsonAppendString(error, BufferText(&canonical.name_space), canonical.name_space.len);
	}
	CanonicalWipe(&canonical);
	return result;
}

/*
 * Append the members to the body of an action: before the brace at its end.
 */
void
SignatureAppend(Buffer *body, const Buffer *members)
{
	BufferReserveWiping(body, members->len);
	body->len--;
	BufferAppend(body, members->data, members->len);
	BufferAppendChar(body, '}');
}
