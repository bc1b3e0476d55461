/*
 * signature.c
 *		Signatures of errors: that of a signature is itself, and none is cut within a
 *		character.
 *
 * The first two bytes choose the rules.
 *
 * Server: base/error_signature.c
 */
#include "fuzz.h"
#include "server.h"

#include "mb/pg_wchar.h"

#include "base/error_signature.h"

#define ALL_RULES 0x3FF

static void
check_signature(const char *error, int len, SignatureRules rules)
{
	char signature[SIGNATURE_BYTES], again[SIGNATURE_BYTES];
	char *copy;
	int signature_len = MakeSignature(signature, error, len, rules);
	int again_len;

	CHECK(signature_len >= 0 && signature_len <= SIGNATURE_BYTES);
	CHECK(pg_encoding_verifymbstr(PG_UTF8, signature, signature_len) == signature_len);
	/* A copy that ends where it ends: reading on is an error. */
	copy = palloc(signature_len);
	memcpy(copy, signature, signature_len);
	again_len = MakeSignature(again, copy, signature_len, rules);
	if (again_len != signature_len || memcmp(again, signature, again_len) != 0)
		fprintf(stderr, "rules 0x%X of: %.*s\nbecomes: %.*s\nbecomes: %.*s\n", rules, len, error,
				signature_len, signature, again_len, again);
	CHECK(again_len == signature_len && memcmp(again, signature, again_len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *error = (const char *) data + 2;

	if (size < 2 || pg_encoding_verifymbstr(PG_UTF8, error, size - 2) != (int) size - 2)
		return 0;
	BeginMemory();
	check_signature(error, size - 2, ALL_RULES);
	check_signature(error, size - 2, (data[0] << 8 | data[1]) & ALL_RULES);
	EndMemory();
	return 0;
}
