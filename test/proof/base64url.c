/*
 * base64url.c
 *		Proof of src/base/base64url.c.
 *
 * Bounds: three bytes that are encoded, texts of up to four that are decoded.
 *
 * Unwind: 6
 *
 * Breaks: src/base/base64url.c s/encoded, len, "+\/", "-_"/encoded, len, "+\/", "_-"/
 * Breaks: src/base/base64url.c s/palloc(room + 1)/palloc(room)/
 * Breaks: src/base/base64url.c s/(len + 3) \/ 4 \* 4/len \/ 4 * 4/
 */
#include "base/base64url.c"

/* What is encoded has only characters of base64url, and is decoded as it was. */
void
prove_round_trip(void)
{
	char bytes[3];
	int len = nondet_int();
	char *text, *again;

	ASSUME(len >= 1 && len <= 3);
	for (int i = 0; i < 3; i++)
	{
		bytes[i] = nondet_char();
		ASSUME(bytes[i] != '\0');
	}
	text = Base64UrlEncode(bytes, len);
	for (int i = 0; text[i] != '\0'; i++)
		PROVE(text[i] != '+' && text[i] != '/' && text[i] != '=');
	again = Base64UrlDecode(text, (int) strlen(text));
	PROVE(again != NULL);
	for (int i = 0; i < len; i++)
		PROVE(again[i] == bytes[i]);
	PROVE(again[len] == '\0');
}

/* Of any text no more is read than there is, and what it becomes has an end. */
void
prove_decoder(void)
{
	int len = nondet_int();
	char *text, *bytes;

	ASSUME(len >= 1 && len <= 4);
	text = palloc(len);
	for (int i = 0; i < len; i++)
		text[i] = nondet_char();
	bytes = Base64UrlDecode(text, len);
	PROVE(bytes == NULL || strlen(bytes) <= 3);
}
