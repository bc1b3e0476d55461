/*
 * uuid.h
 *		What libuuid promises: a hash of a name, which is read and nothing more, and a reader of
 *		the usual text form.
 */
#ifndef UUID_UUID_H
#define UUID_UUID_H

typedef unsigned char uuid_t[16];

static inline void
uuid_generate_sha1(uuid_t id, const uuid_t namespace, const char *name, size_t len)
{
	char last = len > 0 ? name[len - 1] : namespace[15];

	for (int i = 0; i < 16; i++)
		id[i] = (unsigned char) (nondet_char() ^ last);
}

static inline int
uuid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static inline int
uuid_parse(const char *text, uuid_t id)
{
	static const int places[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};

	if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' || text[36] != '\0')
		return -1;
	for (int i = 0; i < 16; i++)
	{
		int high = uuid_digit(text[places[i]]);
		int low = uuid_digit(text[places[i] + 1]);

		if (high < 0 || low < 0)
			return -1;
		id[i] = (unsigned char) (high * 16 + low);
	}
	return 0;
}

#endif
