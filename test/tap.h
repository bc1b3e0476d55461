/*
 * tap.h
 *		What the programs' unit tests share: telling results as TAP.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>

extern void ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void is(const char *got, const char *expected, const char *name);
extern int run_in_child(void (*run)(int argc, char **argv), char **argv, char *said, size_t size);
extern int done_testing(void);

#endif
