/*
 * tap.c
 *		What the programs' unit tests share: telling results as TAP.
 */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"

static int tests;
static int failures;

/*
 * Report one test.
 */
void
ok(bool good, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	/* What the code says on stderr comes in between lines, not into them. */
	fflush(stdout);
	failures += good ? 0 : 1;
}

/*
 * Test that a text is as expected, and show it if not.
 */
void
is(const char *got, const char *expected, const char *name)
{
	bool good = strcmp(got, expected) == 0;

	ok(good, "%s", name);
	if (!good)
		printf("#      got: %s\n# expected: %s\n", got, expected);
}

/*
 * Run a function that may exit in a child, with a program's arguments, which end
 * with NULL.  Returns its exit status, -1 if it was killed, and the first line
 * that it said.
 */
int
run_in_child(void (*run)(int argc, char **argv), char **argv, char *said, size_t size)
{
	int pipes[2], status, argc = 0;
	pid_t child;
	char buffer[4096];
	Buffer all = {0};
	ssize_t len;

	while (argv[argc] != NULL)
		argc++;
	if (pipe(pipes) != 0 || fflush(stdout) != 0)
		exit(2);
	child = fork();
	if (child == 0)
	{
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		run(argc, argv);
		fflush(stdout);
		_exit(0);
	}
	close(pipes[1]);
	while ((len = read(pipes[0], buffer, sizeof(buffer))) > 0)
		BufferAppend(&all, buffer, (size_t) len);
	snprintf(said, size, "%s", BufferText(&all));
	BufferFree(&all);
	close(pipes[0]);
	waitpid(child, &status, 0);
	said[strcspn(said, "\n")] = '\0';
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * Tell how many tests there were; returns the exit status of the program.
 */
int
done_testing(void)
{
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}
