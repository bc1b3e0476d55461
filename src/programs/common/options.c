/*
 * options.c
 *		A program's options: one table for the command line, the environment,
 *		the help, the man page and the reference.
 *
 * An option --batch-size is also the environment variable PREFIX_BATCH_SIZE;
 * the command line wins.  There is no configuration file: systemd and
 * containers have one of their own.
 */
#include "common/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/manual.h"
#include "common/nearest.h"

/*
 * Say what is wrong with the command line or the environment, and exit.
 */
void
OptionsFail(const Program *program, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry \"%s --help\" for more information.\n", program->name);
	exit(2);
}

/*
 * Check a file that is going to be read again and again, which a pipe would not
 * survive.  NULL is no file, and well.
 */
void
OptionsCheckFile(const Program *program, const char *name, const char *path)
{
	struct stat status;

	if (path == NULL)
		return;
	if (stat(path, &status) != 0 || euidaccess(path, R_OK) != 0)
		OptionsFail(program, "cannot read the file \"%s\" of --%s: %s", path, name,
					strerror(errno));
	if (!S_ISREG(status.st_mode))
		OptionsFail(program, "\"%s\" of --%s is not a regular file", path, name);
}

/*
 * Where an option's value goes.
 */
static void *
place_of(const Option *option, void *settings)
{
	return (char *) settings + option->offset;
}

/*
 * Read a value, or say that it is wrong and where it stood.
 */
static void
take_value(const Program *program, const Option *option, const char *from, const char *text,
		   void *settings)
{
	const char *expected = option->read(option, text, place_of(option, settings));

	if (expected != NULL && option->is_secret)
		OptionsFail(program, "the value of %s is not valid: expected %s", from, expected);
	if (expected != NULL)
		OptionsFail(program, "\"%s\" is not a valid value for %s: expected %s", text, from,
					expected);
}

/*
 * Take a value of the environment: several for a list, separated by colons as
 * in PATH.
 */
static void
take_variable(const Program *program, const Option *option, const char *name, const char *value,
			  void *settings)
{
	char *copy, *rest;

	if (option->read != ReadTextList)
	{
		take_value(program, option, name, value, settings);
		return;
	}
	copy = rest = DuplicateText(value);
	for (char *text; (text = strsep(&rest, ":")) != NULL;)
		take_value(program, option, name, text, settings);
	free(copy);
}

/*
 * Take the values of the environment for the options that the command line has
 * not given.
 */
static void
read_environment(const Program *program, void *settings, const bool *given)
{
	for (const Option *option = program->options; option->name != NULL; option++)
	{
		char *name = Format("%s%s", program->prefix, option->name);
		const char *value;

		for (char *c = name; *c != '\0'; c++)
			*c = *c == '-' ? '_' : (char) toupper((unsigned char) *c);
		value = option->read != NULL && !given[option - program->options] ? getenv(name) : NULL;
		if (value != NULL)
			take_variable(program, option, name, value, settings);
		free(name);
	}
}

/*
 * Find an option by its name.
 */
static const Option *
find_option(const Program *program, const char *name, size_t len)
{
	for (const Option *option = program->options; option->name != NULL; option++)
	{
		if (strlen(option->name) == len && strncmp(option->name, name, len) == 0)
			return option;
	}
	return NULL;
}

/*
 * Say that there is no such option, and which one may have been meant, and exit.
 * Behind the name of a mistyped option may be a password.
 */
static void
report_unknown(const Program *program, const char *arg)
{
	int len = (int) strcspn(arg, "=");
	const char *name = arg + strspn(arg, "-");
	Nearest nearest;

	NearestStart(&nearest, name, strcspn(name, "="));
	for (const Option *option = program->options; option->name != NULL; option++)
		NearestTry(&nearest, option->name);
	if (nearest.name != NULL)
		OptionsFail(program, "unknown option %.*s (perhaps you meant --%s)", len, arg,
					nearest.name);
	OptionsFail(program, "unknown option %.*s", len, arg);
}

/*
 * Take the values of the command line: --name value, --name=value, --switch.
 */
static void
read_command_line(const Program *program, void *settings, bool *given, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		const char *arg = argv[i];
		size_t len = strncmp(arg, "--", 2) == 0 ? strcspn(arg + 2, "=") : 0;
		const char *value = len > 0 && arg[2 + len] == '=' ? arg + 2 + len + 1 : NULL;
		const Option *option = len > 0 ? find_option(program, arg + 2, len) : NULL;
		char from[64];

		if (option == NULL && *arg == '-')
			report_unknown(program, arg);
		if (option == NULL)
			OptionsFail(program, "unexpected argument \"%.*s\"", (int) strcspn(arg, "="), arg);
		snprintf(from, sizeof(from), "--%s", option->name);
		if (option->argument == NULL && value != NULL)
			OptionsFail(program, "%s takes no value", from);
		if (option->read == NULL)
			exit(ManualPrint(program, option->name) && fflush(stdout) == 0 ? 0 : 1);
		if (option->argument == NULL)
			value = "on";
		else if (value == NULL && i + 1 < argc)
			value = argv[++i];
		if (value == NULL)
			OptionsFail(program, "%s needs a value: %s", from, option->argument);
		given[option - program->options] = true;
		take_value(program, option, from, value, settings);
	}
}

/*
 * Fill the settings: from the command line, else the environment, else the
 * defaults.
 * Exits with status 2 if something is wrong, and after --help and its like.
 */
void
OptionsRead(const Program *program, void *settings, int argc, char **argv)
{
	bool *given;
	int count = 0;

	for (const Option *option = program->options; option->name != NULL; option++, count++)
	{
		if (option->initial != NULL && option->read != NULL)
			take_value(program, option, option->name, option->initial, settings);
	}
	/* Whoever asks for help gets it, whatever else is wrong. */
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
			strcmp(argv[i], "-?") == 0)
			exit(ManualPrint(program, "help") && fflush(stdout) == 0 ? 0 : 1);
	}
	given = Allocate(count * sizeof(bool));
	read_command_line(program, settings, given, argc, argv);
	read_environment(program, settings, given);
	free(given);
}

/*
 * A switch: on or off, into a bool.
 */
const char *
ReadSwitch(const Option *option, const char *text, void *place)
{
	static const char *const on[] = {"on", "true", "yes", "1"};
	static const char *const off[] = {"off", "false", "no", "0"};

	(void) option;
	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++)
	{
		if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0)
		{
			*(bool *) place = strcmp(text, on[i]) == 0;
			return NULL;
		}
	}
	return "on or off";
}

/*
 * Any text, into a char pointer of its own; "" is NULL.
 */
const char *
ReadText(const Option *option, const char *text, void *place)
{
	char **value = place;

	(void) option;
	free(*value);
	*value = *text != '\0' ? DuplicateText(text) : NULL;
	return NULL;
}

/*
 * One more text, into a TextList.
 */
const char *
ReadTextList(const Option *option, const char *text, void *place)
{
	TextList *list = place;

	(void) option;
	if (*text == '\0')
		return NULL;
	list->texts = Reallocate(list->texts, (list->count + 1) * sizeof(char *));
	list->texts[list->count++] = DuplicateText(text);
	return NULL;
}

/*
 * A whole number within the option's bounds, into an int.
 */
const char *
ReadNumber(const Option *option, const char *text, void *place)
{
	static char expected[80];
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < option->least ||
		number > option->most)
	{
		snprintf(expected, sizeof(expected), "a whole number from %lld to %lld",
				 (long long) option->least, (long long) option->most);
		return expected;
	}
	*(int *) place = (int) number;
	return NULL;
}

/*
 * A number that is not negative, into a double.
 */
const char *
ReadReal(const Option *option, const char *text, void *place)
{
	char *end;
	double number;

	(void) option;
	number = strtod(text, &end);
	if ((*text != '.' && !isdigit((unsigned char) *text)) || *end != '\0' || !(number <= 1e9))
		return "a number from 0 to 1000000000";
	*(double *) place = number;
	return NULL;
}

/*
 * A duration, into an int64_t of microseconds.  The bounds are in milliseconds.
 */
const char *
ReadDuration(const Option *option, const char *text, void *place)
{
	static char expected[120];
	int64_t duration;

	if (ParseDuration(text, &duration) && duration >= option->least * MILLISECOND &&
		duration <= option->most * MILLISECOND)
	{
		*(int64_t *) place = duration;
		return NULL;
	}
	snprintf(expected, sizeof(expected),
			 "a duration such as 500ms, 30s or 5m, from %lldms to %llds", (long long) option->least,
			 (long long) (option->most / 1000));
	return expected;
}

/*
 * The name of a level of the log, into a LogLevel.
 */
const char *
ReadLogLevel(const Option *option, const char *text, void *place)
{
	(void) option;
	return LogParseLevel(text, place) ? NULL : "error, warning, info or debug";
}
