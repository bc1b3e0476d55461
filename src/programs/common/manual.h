/*
 * manual.h
 *		The help, the man page and the reference's table, from a program's options.
 */
#ifndef MANUAL_H
#define MANUAL_H

#include "common/options.h"

extern bool ManualPrint(const Program *program, const char *which);

#endif
