/*
 * extension.h
 *		The extension in the database: is it there, and does it fit this program?
 */
#ifndef EXTENSION_H
#define EXTENSION_H

#include <stdbool.h>

#include <libpq-fe.h>

/* Finds the extension: its schema, its version, and what consumers may ask of it. */
extern const char extension_find_sql[];

/* What consumers may ask of it, which versions before 1.1 lack. */
typedef struct ExtensionSkills
{
	bool ids;       /* answers name the action's id, and a doubt can be told */
	bool sleep;     /* a consumer can say that it sleeps */
	bool doubts;    /* the figures of the queue tell of doubts */
	bool expiry;    /* a claim tells when actions expire */
	bool describes; /* it tells what is known of actions besides their body */
	bool targets;   /* a claim can be for another target than production */
} ExtensionSkills;

/* What is wrong with it. */
typedef struct ExtensionFault
{
	const char *what;
	char *why; /* the caller frees it; NULL if what says it all */
	const char *hint;
} ExtensionFault;

extern bool ExtensionFits(const PGresult *result, const char *program, const char *oldest,
						  ExtensionFault *fault);
extern ExtensionSkills ExtensionSkillsRead(const PGresult *result);

#endif
