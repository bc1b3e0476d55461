/*
 * patch_hash.c
 *		By what a patch of payloads is known.
 *
 * A batch keeps its patch in its query.  The hash of the patch is the SHA-256 of its text
 * as jsonb, in UTF-8: encode(sha256(convert_to(patch::text, 'UTF8')), 'hex').  An action
 * that was patched carries the first digits of it as a label, which the gateway writes
 * down in its record.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "query/patch_hash.h"

/*
 * The hash of a patch, in hexadecimal digits, in the current memory context.
 */
char *
PatchHash(Jsonb *patch)
{
	char *written = JsonbToCString(NULL, &patch->root, VARSIZE(patch));
	const char *utf8 = pg_server_to_any(written, strlen(written), PG_UTF8);
	Datum hash = DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text(utf8)));

	return TextDatumGetCString(
		DirectFunctionCall2(binary_encode, hash, CStringGetTextDatum("hex")));
}

/*
 * The value of the label PATCH_LABEL, in the current memory context.
 */
char *
PatchLabel(Jsonb *patch)
{
	return pnstrdup(PatchHash(patch), PATCH_LABEL_DIGITS);
}
