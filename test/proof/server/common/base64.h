/*
 * base64.h
 *		The server's functions for base64, by their contracts: sizes, the characters of the
 *		result, and what is an error.
 */
#ifndef BASE64_H
#define BASE64_H

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static inline int
pg_b64_enc_len(int len)
{
	return (len + 2) / 3 * 4;
}

static inline int
pg_b64_dec_len(int len)
{
	return len * 3 >> 2;
}

static inline int
pg_b64_encode(const char *src, int len, char *dst, int room)
{
	int at = 0;

	PROVE(room >= pg_b64_enc_len(len));
	for (int i = 0; i < len; i += 3)
	{
		uint32_t word = (uint32_t) (unsigned char) src[i] << 16;

		if (i + 1 < len)
			word |= (uint32_t) (unsigned char) src[i + 1] << 8;
		if (i + 2 < len)
			word |= (unsigned char) src[i + 2];
		dst[at++] = base64_digits[word >> 18];
		dst[at++] = base64_digits[word >> 12 & 63];
		dst[at++] = i + 1 < len ? base64_digits[word >> 6 & 63] : '=';
		dst[at++] = i + 2 < len ? base64_digits[word & 63] : '=';
	}
	return at;
}

static inline int
pg_b64_decode(const char *src, int len, char *dst, int room)
{
	int at = 0;

	PROVE(len % 4 == 0 && room >= pg_b64_dec_len(len));
	for (int i = 0; i < len; i += 4)
	{
		int padding = src[i + 3] != '=' ? 0 : src[i + 2] != '=' ? 1 : 2;
		uint32_t word = 0;

		if (padding > 0 && i + 4 < len)
			return -1;
		for (int k = 0; k < 4; k++)
		{
			int value = k >= 4 - padding ? 0 : base64_value(src[i + k]);

			if (value < 0)
				return -1;
			word = word << 6 | (uint32_t) value;
		}
		dst[at++] = (char) (word >> 16);
		if (padding < 2)
			dst[at++] = (char) (word >> 8);
		if (padding < 1)
			dst[at++] = (char) word;
	}
	return at;
}

#endif
