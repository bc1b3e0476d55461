/*
 * numbers.h
 *		Numbers among the parameters.
 */
#ifndef HTTP_NUMBERS_H
#define HTTP_NUMBERS_H

#include <stdbool.h>

extern bool NumberRead(char *text);
extern char *NumberWhole(const char *text);

#endif
