/*
 * encoded.c
 *		Bytes that are written as text: base64, and keys.
 *
 * What is decoded may be secret: no copy stays behind.
 */
#include "common/encoded.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/buffer.h"

/*
 * Decode base64 (RFC 4648, section 4, padded) into memory that has room for
 * three quarters of its length.  False if it is anything else: OpenSSL takes
 * blanks around it, = anywhere and bits behind the end, so what it has read must be
 * written in the same way again.
 */
bool
DecodeBase64(const char *text, size_t len, unsigned char *out, size_t *out_len)
{
	size_t padding = 0;
	unsigned char *again;
	bool good;

	*out_len = 0;
	if (len == 0)
		return true;
	if (len % 4 != 0 || len > INT_MAX - 1 ||
		EVP_DecodeBlock(out, (const unsigned char *) text, (int) len) != (int) (len / 4 * 3))
		return false;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	*out_len = len / 4 * 3 - padding;
	again = Allocate(len + 1);
	good = EVP_EncodeBlock(again, out, (int) *out_len) == (int) len &&
		   CRYPTO_memcmp(again, text, len) == 0;
	OPENSSL_cleanse(again, len);
	free(again);
	return good;
}

/*
 * Decode a key's hex digits.
 */
static bool
decode_hex_key(const char *text, size_t len, unsigned char key[KEY_BYTES])
{
	if (len != 2 * KEY_BYTES)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];
		int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10;
		else
			return false;
		key[i / 2] = (unsigned char) (key[i / 2] << 4 | digit);
	}
	return true;
}

/*
 * Decode a key: its bytes as hex or base64.
 */
bool
DecodeKey(const char *text, size_t len, unsigned char key[KEY_BYTES])
{
	unsigned char bytes[KEY_BYTES + 3];
	size_t decoded = 0;
	bool good;

	if (decode_hex_key(text, len, key))
		return true;
	good = len == (KEY_BYTES + 2) / 3 * 4 && DecodeBase64(text, len, bytes, &decoded) &&
		   decoded == KEY_BYTES;
	if (good)
		memcpy(key, bytes, KEY_BYTES);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return good;
}
