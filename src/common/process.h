/*
 * process.h
 *		The process: what must be so before anything else is done.
 */
#ifndef PROCESS_H
#define PROCESS_H

extern void ProcessFillStandardFiles(void);
extern void ProcessProtectMemory(void);

#endif
