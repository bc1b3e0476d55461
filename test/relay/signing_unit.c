/*
 * signing_unit.c
 *		Tests of what the relay signs.
 *
 * The vectors were made with the gateway: for each body the bytes that it checks the
 * signature over, and a signature that it has accepted.
 */
#include "signing_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gateway_number.h"
#include "common/json.h"
#include "relay/canonical.h"
#include "relay/signing.h"
#include "tap.h"

#define VECTORS "test/fixtures/gateway/signing_vectors.json"

#define SEED "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define SEED_BASE64 "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

#define ACTION_START \
	"{\"id\": \"x\", \"namespace\": \"prod\", \"tenant\": \"acme\", \"provider\": \"p\", " \
	"\"action_type\": \"t\", \"payload\": "
#define ACTION_END ", \"created_at\": \"2026-01-02T03:04:05Z\"}"

/* What is said of a vector. */
enum
{
	CASE,
	SIGNER_ID,
	KID,
	SEED_HEX,
	ACTION_TEXT,
	CANONICAL,
	SIGNATURE,
	REFUSED_WITH,
	NUM_FACTS
};

static const char *const fact_names[NUM_FACTS] = {
	"case", "signer_id", "kid", "seed_hex", "action_text", "canonical", "signature_base64", "error",
};

typedef struct Vectors
{
	const char *scratch;
	Buffer facts[NUM_FACTS];
	int fact; /* the next value is of; -1: none that counts */
	int depth;
	int signed_ones;
	int refused_ones;
} Vectors;

/*
 * Make a file with keys.
 */
static char *
make_keys(const char *scratch, const char *text, mode_t mode)
{
	char *path = Format("%s/signing-keys", scratch);
	FILE *file = fopen(path, "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, mode) != 0)
		exit(2);
	return path;
}

/*
 * Read keys.
 */
static Signers *
read_keys(const char *scratch, const char *text, mode_t mode, char **error)
{
	char *path = make_keys(scratch, text, mode);
	Signers *signers = SignersRead(path, error);

	unlink(path);
	free(path);
	return signers;
}

/*
 * Compare the bytes that are made for a body.
 */
static void
try_vector(const Vectors *vectors)
{
	const Buffer *facts = vectors->facts;
	const char *name = facts[CASE].data;
	Buffer members = {0}, error = {0};
	Canonical canonical;
	const char *why = "";
	char *any = Format("%s%s%s * * %s\n", facts[SIGNER_ID].data, facts[KID].len > 0 ? ":" : "",
					   BufferText(&facts[KID]), facts[SEED_HEX].data);
	char *wanted = facts[KID].len > 0
					   ? Format(", \"signature\": \"%s\", \"signer_id\": \"%s\", \"kid\": \"%s\"",
								facts[SIGNATURE].data, facts[SIGNER_ID].data, facts[KID].data)
					   : Format(", \"signature\": \"%s\", \"signer_id\": \"%s\"",
								facts[SIGNATURE].data, facts[SIGNER_ID].data);
	char *wrong = NULL;
	Signers *signers = read_keys(vectors->scratch, any, 0600, &wrong);

	ok(CanonicalRead(&canonical, facts[ACTION_TEXT].data, facts[ACTION_TEXT].len, &why),
	   "%s is read%s", name, why);
	ok(canonical.text.len == facts[CANONICAL].len &&
		   memcmp(BufferText(&canonical.text), facts[CANONICAL].data, facts[CANONICAL].len) == 0,
	   "%s: %s", name, BufferText(&canonical.text));
	ok(signers != NULL && SignAction(signers, facts[ACTION_TEXT].data, facts[ACTION_TEXT].len,
									 &members, &error) == SIGNED,
	   "%s is signed %s", name, BufferText(&error));
	is(BufferText(&members), wanted, name);
	CanonicalWipe(&canonical);
	SignersFree(signers);
	BufferFree(&members);
	BufferFree(&error);
	free(any);
	free(wanted);
	free(wrong);
}

/*
 * What the gateway refuses for another reason than a wrong field has no bytes; but for
 * half a surrogate pair, which no jsonb has.
 */
static void
try_refused(const Vectors *vectors)
{
	const Buffer *facts = vectors->facts;
	const char *why = NULL;
	Canonical canonical;

	if (strncmp(facts[REFUSED_WITH].data, "invalid type", 12) != 0 &&
		strncmp(facts[REFUSED_WITH].data, "duplicate field", 15) != 0 &&
		strncmp(facts[REFUSED_WITH].data, "unexpected end of hex", 21) != 0)
		ok(!CanonicalRead(&canonical, facts[ACTION_TEXT].data, facts[ACTION_TEXT].len, &why) &&
			   why != NULL,
		   "%s cannot be signed: %s", facts[CASE].data, why != NULL ? why : "");
	else
		(void) CanonicalRead(&canonical, facts[ACTION_TEXT].data, facts[ACTION_TEXT].len, &why);
	CanonicalWipe(&canonical);
}

static int
take_start(void *context)
{
	((Vectors *) context)->depth++;
	((Vectors *) context)->fact = -1;
	return 1;
}

static int
take_end(void *context)
{
	Vectors *vectors = context;

	if (vectors->depth-- != 3)
		return 1;
	if (vectors->facts[SIGNATURE].len > 0)
	{
		vectors->signed_ones++;
		try_vector(vectors);
	}
	else
	{
		vectors->refused_ones++;
		try_refused(vectors);
	}
	for (int i = 0; i < NUM_FACTS; i++)
		BufferClear(&vectors->facts[i]);
	return 1;
}

static int
take_array_end(void *context)
{
	((Vectors *) context)->depth--;
	return 1;
}

static int
take_key(void *context, const unsigned char *text, size_t len)
{
	Vectors *vectors = context;

	vectors->fact = -1;
	for (int i = 0; i < NUM_FACTS && vectors->depth == 3; i++)
	{
		if (strlen(fact_names[i]) == len && memcmp(fact_names[i], text, len) == 0)
			vectors->fact = i;
	}
	return 1;
}

static int
take_string(void *context, const unsigned char *text, size_t len)
{
	Vectors *vectors = context;

	if (vectors->fact >= 0)
		BufferAppend(&vectors->facts[vectors->fact], text, len);
	vectors->fact = -1;
	return 1;
}

/*
 * The gateway's own vectors.
 */
static void
test_vectors(const char *scratch)
{
	static const yajl_callbacks callbacks = {.yajl_start_map = take_start,
											 .yajl_map_key = take_key,
											 .yajl_end_map = take_end,
											 .yajl_start_array = take_start,
											 .yajl_end_array = take_array_end,
											 .yajl_string = take_string};
	Vectors vectors = {.scratch = scratch, .fact = -1};
	Buffer text = {0};
	FILE *file = fopen(VECTORS, "r");
	char piece[4096];
	size_t got;

	if (file == NULL)
		exit(2);
	while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
		BufferAppend(&text, piece, got);
	fclose(file);
	ok(JsonParse(text.data, text.len, &callbacks, &vectors), "the vectors are read");
	ok(vectors.signed_ones == 25 && vectors.refused_ones == 10, "all of them: %d and %d",
	   vectors.signed_ones, vectors.refused_ones);
	for (int i = 0; i < NUM_FACTS; i++)
		BufferFree(&vectors.facts[i]);
	BufferFree(&text);
}

/*
 * Compare the payload in the bytes that are made; "": there are none.
 */
static void
try_payload(const char *payload, const char *wanted)
{
	static const char before[] = "\"payload\":", after[] = ",\"provider\"";
	char *action = Format("%s%s%s", ACTION_START, payload, ACTION_END);
	Canonical canonical;
	const char *why = NULL;
	bool good = CanonicalRead(&canonical, action, strlen(action), &why);
	const char *start = good ? strstr(canonical.text.data, before) : NULL;
	const char *end = good ? strstr(canonical.text.data, after) : NULL;
	char *got =
		good ? Duplicate(start + sizeof(before) - 1, (size_t) (end - start) - sizeof(before) + 1)
			 : DuplicateText("");

	is(got, wanted, payload);
	CanonicalWipe(&canonical);
	free(got);
	free(action);
}

/*
 * Payloads that the vectors do not have.  What the gateway makes of these numbers was
 * found out with its own parser and printer.
 */
static void
test_payloads(void)
{
	char deep[600] = "", *at = deep;

	try_payload("0.31622776601683794", "0.31622776601683794");
	try_payload("5.684341886080802e-14", "5.684341886080803e-14");
	try_payload("[9007199254740992.0, 2.2250738585072014e-308, 4.9406564584124654e-324]",
				"[9007199254740992.0,2.2250738585072014e-308,5e-324]");
	try_payload("18446744073709551619.05", "1.8446744073709552e+19");
	try_payload("[0e99999999999, 1e-99999999999, -0.0e5, 0E+0]", "[0.0,0.0,-0.0,0.0]");
	try_payload("1e99999999999", "");
	try_payload("1e309", "");
	try_payload(
		"{\"b\": 1, \"a\": {\"d\": [1, {\"z\": 1, \"\": 2}], \"c\": {}}, \"b\": 2, \"ab\": 3}",
		"{\"a\":{\"c\":{},\"d\":[1,{\"\":2,\"z\":1}]},\"ab\":3,\"b\":2}");
	try_payload("{\"b\": 1, \"b\": {\"y\": 1, \"x\": 2}, \"a\\u0000\": 1, \"a\": true}",
				"{\"a\":true,\"a\\u0000\":1,\"b\":{\"x\":2,\"y\":1}}");
	try_payload("[\"\\b\\t\\n\\u000b\\f\\r\\u000e\\u001f\\\"\\\\\\/\\u007f\"]",
				"[\"\\b\\t\\n\\u000b\\f\\r\\u000e\\u001f\\\"\\\\/\177\"]");
	try_payload("\"\"", "\"\"");
	for (int i = 0; i < 126; i++)
		*at++ = '[';
	for (int i = 0; i < 126; i++)
		*at++ = ']';
	try_payload(deep, deep);
	memmove(deep + 1, deep, strlen(deep) + 1);
	strcat(deep, "]");
	try_payload(deep, "");
}

/*
 * Which key an action is signed with: the signer's name, or "".
 */
static void
try_choice(const Signers *signers, const char *tenant, const char *name_space, const char *wanted)
{
	char *action =
		Format("{\"id\": \"x\", \"namespace\": \"%s\", \"tenant\": \"%s\", \"provider\": \"p\", "
			   "\"action_type\": \"t\", \"payload\": {\"tenant\": \"other\"}%s",
			   name_space, tenant, ACTION_END);
	char *name = Format("the key for tenant %s, namespace %s", tenant, name_space);
	Buffer members = {0}, error = {0}, signer = {0};
	bool is_signed = SignAction(signers, action, strlen(action), &members, &error) == SIGNED;

	if (is_signed)
	{
		Buffer body = {0};

		BufferAppendText(&body, action);
		SignatureAppend(&body, &members);
		JsonGetString(body.data, body.len, "signer_id", &signer);
		BufferFree(&body);
	}
	is(BufferText(&signer), wanted, name);
	BufferFree(&members);
	BufferFree(&error);
	BufferFree(&signer);
	free(name);
	free(action);
}

/*
 * A file that is refused, with words that do not show the seed.
 */
static void
try_bad_file(const char *scratch, const char *text, mode_t mode, const char *words)
{
	char *error = NULL;

	ok(read_keys(scratch, text, mode, &error) == NULL && error != NULL &&
		   strstr(error, words) != NULL && strstr(error, "9d61") == NULL,
	   "%s: %s", words, error != NULL ? error : "");
	free(error);
}

/*
 * Files with keys, and which of them is used.
 */
static void
test_keys(const char *scratch)
{
	char *error = NULL;
	Signers *signers = read_keys(scratch,
								 "# keys\n\n  any * * " SEED "\r\n"
								 "acme:k1\tacme  *  " SEED_BASE64 "\n"
								 "prod * prod " SEED "\n"
								 "both acme prod " SEED,
								 0600, &error);

	ok(signers != NULL && SignersCount(signers) == 4, "four keys are read");
	try_choice(signers, "acme", "prod", "both");
	try_choice(signers, "acme", "test", "acme");
	try_choice(signers, "acme.eu", "prod", "prod");
	try_choice(signers, "acme.eu", "test", "any");
	SignersFree(signers);
	signers = read_keys(scratch, "prod * prod " SEED "\nacme acme * " SEED "\n", 0600, &error);
	try_choice(signers, "acme", "prod", "acme");
	try_choice(signers, "other", "prod", "prod");
	SignersFree(signers);
	signers = read_keys(scratch, "spiffe://x: acme prod " SEED "\n", 0600, &error);
	try_choice(signers, "acme", "prod", "spiffe://x");
	try_choice(signers, "acme", "test", "");
	try_choice(signers, "ACME", "prod", "");
	SignersFree(signers);
	try_bad_file(scratch, "any * * " SEED "\n", 0640, "others can read");
	try_bad_file(scratch, "any * * " SEED "\n", 0604, "others can read");
	try_bad_file(scratch, "", 0600, "holds no key");
	try_bad_file(scratch, "# any * * " SEED "\n", 0600, "holds no key");
	try_bad_file(scratch, "a * * " SEED "\nb * * " SEED "\n", 0600, "line 2");
	try_bad_file(scratch, "any * " SEED "\n", 0600, "line 1");
	try_bad_file(scratch, "any * * * " SEED "\n", 0600, "line 1");
	try_bad_file(scratch, "any * * " SEED "00\n", 0600, "line 1");
	try_bad_file(scratch, ":k1 * * " SEED "\n", 0600, "line 1");
	try_bad_file(scratch, "\xff * * " SEED "\n", 0600, "line 1");
	ok(SignersRead("/nonexistent", &error) == NULL, "a missing file is an error");
	free(error);
}

void
TestSigning(const char *scratch)
{
	test_vectors(scratch);
	test_payloads();
	test_keys(scratch);
}
