/*
 * base64url.c
 *		Bytes as text that a URL takes as it is: base64url of RFC 4648, without padding.
 */
#include "postgres.h"

#include "common/base64.h"

#include "base/base64url.h"
#include "base/compat.h"

/*
 * Replace the characters of base64 by those of base64url, or back.
 */
static void
replace_characters(char *text, size_t len, const char *from, const char *to)
{
	for (size_t i = 0; i < len; i++)
	{
		const char *found = text[i] != '\0' ? strchr(from, text[i]) : NULL;

		if (found != NULL)
			text[i] = to[found - from];
	}
}

/*
 * Encode some bytes.
 */
char *
Base64UrlEncode(const char *bytes, int len)
{
	int room = pg_b64_enc_len(len);
	char *encoded = palloc(room + 1);

	len = ActeonBase64Encode(bytes, len, encoded, room);
	if (len < 0)
		elog(ERROR, "could not encode in base64");
	while (len > 0 && encoded[len - 1] == '=')
		len--;
	encoded[len] = '\0';
	replace_characters(encoded, len, "+/", "-_");
	return encoded;
}

/*
 * Decode a text into a string, which ends at the first zero byte.  NULL if it is no
 * base64url; the characters of base64 are taken as well.
 */
char *
Base64UrlDecode(const char *text, int len)
{
	int padded = (len + 3) / 4 * 4;
	char *encoded = palloc(padded);
	int room = pg_b64_dec_len(padded);
	char *bytes = palloc(room + 1);

	memcpy(encoded, text, len);
	memset(encoded + len, '=', padded - len);
	replace_characters(encoded, len, "-_", "+/");
	room = ActeonBase64Decode(encoded, padded, bytes, room);
	if (room < 0)
		return NULL;
	bytes[room] = '\0';
	return bytes;
}
