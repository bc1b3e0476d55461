/*
 * canonical.c
 *		The bytes of an action that are signed: JSON, and the action that they are is signed by
 *		as many bytes.
 *
 * Sources: relay/canonical.c common/json.c common/buffer.c
 */
#include "fuzz.h"

#include <string.h>

#include "common/json.h"
#include "relay/canonical.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	Canonical first, second;
	const char *error = NULL;

	if (!CanonicalRead(&first, text, size, &error))
	{
		CHECK(error != NULL);
		CanonicalWipe(&first);
		return 0;
	}
	CHECK(JsonIsValid(text, size) && JsonIsValid(first.text.data, first.text.len));
	/* Numbers with a fraction may be read one unit off: others are as they were. */
	if (CanonicalRead(&second, first.text.data, first.text.len, &error) &&
		strpbrk(first.text.data, ".eE") == NULL)
	{
		CHECK(second.text.len == first.text.len &&
			  memcmp(second.text.data, first.text.data, first.text.len) == 0);
		CHECK(second.tenant.len == first.tenant.len &&
			  second.name_space.len == first.name_space.len);
	}
	CanonicalWipe(&first);
	CanonicalWipe(&second);
	return 0;
}
