/*
 * extension.h
 *		The extension in the database: is it there, and does it fit this program?
 */
#ifndef EXTENSION_H
#define EXTENSION_H

#include <stdbool.h>

#include <libpq-fe.h>

/* Finds the extension: its schema and its version. */
extern const char extension_find_sql[];

/* What is wrong with it. */
typedef struct ExtensionFault
{
	const char *what;
	char *why; /* the caller frees it; NULL if what says it all */
	const char *hint;
} ExtensionFault;

extern bool ExtensionFits(const PGresult *result, const char *program, ExtensionFault *fault);

#endif
