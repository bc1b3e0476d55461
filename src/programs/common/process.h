/*
 * process.h
 *		The process: what must be so before anything else is done.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>

extern void ProcessFillStandardFiles(void);
extern void ProcessKeepLibraries(void);
extern void ProcessProtectMemory(void);
extern bool ProcessKeepsSecrets(void);

#endif
