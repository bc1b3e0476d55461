/*
 * progress.h
 *		How far the work has come, for people.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress
{
	bool draining;
	bool on_terminal;
	int64_t started;
	int64_t due;       /* when to say something again */
	int64_t last_done; /* when it last did */
	int64_t last_time;
	double rate; /* actions a second, lately */
} Progress;

extern void ProgressStart(Progress *progress, bool draining, int64_t now);
extern void ProgressShow(Progress *progress, int64_t left, int64_t now, int64_t *wake);
extern void
ProgressEnd(Progress *progress, bool drained, int64_t paused, int64_t held, int64_t now);

#endif
