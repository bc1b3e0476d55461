/*
 * manual.c
 *		The help, the man page, the reference's table and the completion for bash, from a
 *		program's options.
 */
#include "common/manual.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 94
#define HELP_COLUMN 30

/*
 * Print a text from a column on, broken between words.  A line that begins
 * with a blank is kept as it is.
 */
static void
print_wrapped(const char *text, int column, int used)
{
	while (*text != '\0')
	{
		size_t word = strcspn(text, " \n");

		if (used > column && used + 1 + (int) word > WIDTH)
		{
			printf("\n%*s", column, "");
			used = column;
		}
		else if (used > column)
		{
			putchar(' ');
			used++;
		}
		fwrite(text, 1, word, stdout);
		used += (int) word;
		text += word;
		while (*text == '\n')
		{
			text++;
			printf("\n%*s", column, "");
			used = column;
		}
		while (*text == ' ')
			text++;
	}
	putchar('\n');
}

/*
 * --help.
 */
static void
print_help(const Program *program)
{
	printf("%s %s: %s\n\n", program->name, program->version, program->summary);
	printf("Usage: %s [OPTION]...\n", program->name);
	for (const Option *option = program->options; option->name != NULL; option++)
	{
		int used;

		if (option->heading != NULL)
			printf("\n%s:\n", option->heading);
		used = printf("  --%s%s%s", option->name, option->argument != NULL ? "=" : "",
					  option->argument != NULL ? option->argument : "");
		if (used > HELP_COLUMN - 2)
		{
			putchar('\n');
			used = 0;
		}
		printf("%*s", HELP_COLUMN - used, "");
		print_wrapped(option->help, HELP_COLUMN, HELP_COLUMN);
		if (option->initial != NULL && *option->initial != '\0')
			printf("%*s(default: %s)\n", HELP_COLUMN, "", option->initial);
	}
	for (const Chapter *chapter = program->chapters; chapter->title != NULL; chapter++)
	{
		printf("\n%s:\n  ", chapter->title);
		print_wrapped(chapter->text, 2, 2);
	}
}

/*
 * Print a text for a man page: what is special to roff is escaped.
 */
static void
print_roff(const char *text)
{
	bool line_start = true;

	for (const char *c = text; *c != '\0'; c++)
	{
		if (line_start && (*c == '.' || *c == '\''))
			fputs("\\&", stdout);
		if (*c == '-')
			fputs("\\-", stdout);
		else if (*c == '\\')
			fputs("\\e", stdout);
		else if (*c == '\n')
			fputs("\n.br\n", stdout);
		else
			putchar(*c);
		line_start = *c == '\n';
	}
	putchar('\n');
}

/*
 * --man.
 */
static void
print_man(const Program *program)
{
	printf(".TH %s 1 \"\" \"%s %s\"\n.SH NAME\n", program->name, program->name, program->version);
	printf("%s \\- %s\n.SH SYNOPSIS\n.B %s\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n", program->name,
		   program->summary, program->name);
	print_roff(program->description);
	puts(".SH OPTIONS");
	for (const Option *option = program->options; option->name != NULL; option++)
	{
		if (option->heading != NULL)
			printf(".SS %s\n", option->heading);
		printf(".TP\n.BR \\-\\-%s", option->name);
		if (option->argument != NULL)
			printf(" =\\fI%s\\fR", option->argument);
		putchar('\n');
		print_roff(option->help);
		if (option->initial != NULL && *option->initial != '\0')
			printf("The default is %s.\n", option->initial);
	}
	for (const Chapter *chapter = program->chapters; chapter->title != NULL; chapter++)
	{
		printf(".SH %s\n", chapter->title);
		print_roff(chapter->text);
	}
}

/*
 * --markdown.
 */
static void
print_markdown(const Program *program)
{
	puts("| option | default | meaning |\n| --- | --- | --- |");
	for (const Option *option = program->options; option->name != NULL; option++)
	{
		printf("| `--%s%s%s` | ", option->name, option->argument != NULL ? "=" : "",
			   option->argument != NULL ? option->argument : "");
		if (option->initial != NULL && *option->initial != '\0')
			printf("`%s` ", option->initial);
		printf("| ");
		for (const char *c = option->help; *c != '\0'; c++)
			putchar(*c == '\n' ? ' ' : *c);
		puts(" |");
	}
}

/*
 * Print a branch of the completion: what completes the value of the options that take
 * one of a kind.
 */
static void
print_values(const Program *program, bool (*is_kind)(const Option *option), const char *values)
{
	int count = 0;

	for (const Option *option = program->options; option->name != NULL; option++)
	{
		if (option->argument != NULL && is_kind(option))
			printf("%s--%s", count++ > 0 ? "|" : "\t", option->name);
	}
	if (count > 0)
		printf(")\n\t\t%s\n\t\treturn ;;\n", values);
}

static bool
takes_file(const Option *option)
{
	return strcmp(option->argument, "FILE") == 0;
}

static bool
takes_level(const Option *option)
{
	return strcmp(option->argument, "LEVEL") == 0;
}

static bool
takes_other(const Option *option)
{
	return !takes_file(option) && !takes_level(option);
}

/*
 * --completion.  Bash has the equals sign as a word of its own.
 */
static void
print_completion(const Program *program)
{
	printf("# Completion of %s for bash.\n_%s()\n{\n", program->name, program->name);
	puts("\tlocal word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}\n"
		 "\tif [ \"$word\" = \"=\" ]; then\n\t\tword=\n"
		 "\telif [ \"$option\" = \"=\" ]; then\n\t\toption=${COMP_WORDS[COMP_CWORD-2]}\n\tfi\n"
		 "\tCOMPREPLY=()\n\tcase $option in");
	print_values(program, takes_file,
				 "mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
				 "\t\tcompopt -o filenames 2>/dev/null");
	print_values(program, takes_level,
				 "mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- \"$word\")");
	print_values(program, takes_other, ":");
	printf("\tesac\n\tmapfile -t COMPREPLY < <(compgen -W '");
	for (const Option *option = program->options; option->name != NULL; option++)
		printf("%s--%s%s", option == program->options ? "" : " ", option->name,
			   option->argument != NULL ? "=" : "");
	printf("' -- \"$word\")\n\tif [[ ${COMPREPLY-} == *= ]]; then\n"
		   "\t\tcompopt -o nospace 2>/dev/null\n\tfi\n}\ncomplete -F _%s %s\n",
		   program->name, program->name);
}

/*
 * Print what an option without a value asks for.  False if there is no such thing.
 */
bool
ManualPrint(const Program *program, const char *which)
{
	if (strcmp(which, "help") == 0)
		print_help(program);
	else if (strcmp(which, "version") == 0)
		printf("%s %s\n", program->name, program->version);
	else if (strcmp(which, "man") == 0)
		print_man(program);
	else if (strcmp(which, "markdown") == 0)
		print_markdown(program);
	else if (strcmp(which, "completion") == 0)
		print_completion(program);
	else
		return false;
	return true;
}
