/* The server's reader of an int: as strtol, but within its bounds. */
#ifndef COMMON_STRING_H
#define COMMON_STRING_H

static inline int
strtoint(const char *text, char **end, int base)
{
	int64 value = strtoi64(text, end, base);

	if (value != (int) value)
		errno = ERANGE;
	return (int) value;
}

#endif
