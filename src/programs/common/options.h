/*
 * options.h
 *		A program's options: one table for the command line, the environment,
 *		the help, the man page and the reference.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Option Option;

/* Reads a text into the option's place.  Returns NULL, or what was expected instead. */
typedef const char *(*OptionReader)(const Option *option, const char *text, void *place);

struct Option
{
	const char *heading;  /* before this option in the help, or NULL */
	const char *name;     /* without the two dashes */
	const char *argument; /* its name in the help; NULL for a switch */
	const char *initial;  /* the default, as it would be given; NULL for none */
	const char *help;
	OptionReader read; /* NULL for what only prints something and exits */
	size_t offset;     /* its place in the settings */
	int64_t least;     /* bounds of a number */
	int64_t most;
	bool is_secret; /* a value may hold a password: it is never shown */
};

/* The last lines of every program's table. */
/* clang-format off */
#define OPTIONS_ABOUT \
	{"About", "help", NULL, NULL, "Print this.", NULL, 0, 0, 0, false}, \
	{NULL, "version", NULL, NULL, "Print the version.", NULL, 0, 0, 0, false}, \
	{NULL, "man", NULL, NULL, "Print the manual page, for man(1).", NULL, 0, 0, 0, false}, \
	{NULL, "markdown", NULL, NULL, "Print the table of the options, for doc/reference.md.", NULL, 0, 0, 0, false}, \
	{NULL, "completion", NULL, NULL, "Print the completion of the options for bash.", NULL, 0, 0, 0, false}, \
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, false}
/* clang-format on */

/* Texts of an option that can be given several times. */
typedef struct TextList
{
	int count;
	char **texts;
} TextList;

/* A chapter of the help and the man page. */
typedef struct Chapter
{
	const char *title;
	const char *text;
} Chapter;

typedef struct Program
{
	const char *name;
	const char *version;
	const char *summary;     /* half a sentence */
	const char *description; /* a paragraph */
	const char *prefix;      /* of the environment variables */
	const Option *options;   /* ends with one that has no name */
	const Chapter *chapters; /* ends with one that has no title */
} Program;

extern void OptionsRead(const Program *program, void *settings, int argc, char **argv);
extern void OptionsFail(const Program *program, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
extern void OptionsCheckFile(const Program *program, const char *name, const char *path);

extern const char *ReadSwitch(const Option *option, const char *text, void *place);
extern const char *ReadText(const Option *option, const char *text, void *place);
extern const char *ReadTextList(const Option *option, const char *text, void *place);
extern const char *ReadNumber(const Option *option, const char *text, void *place);
extern const char *ReadReal(const Option *option, const char *text, void *place);
extern const char *ReadDuration(const Option *option, const char *text, void *place);
extern const char *ReadLogLevel(const Option *option, const char *text, void *place);

#endif
