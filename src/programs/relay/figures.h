/*
 * figures.h
 *		How the queue and the batches are: for people, not for the work.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "relay/statements.h"

typedef struct Figures
{
	Database *database; /* NULL if nobody wants figures */
	DatabaseSession session;
	Queue queue;
	const char *target;
	bool verified;
	int64_t from; /* ask for them */

	bool stats_known;
	QueueStats stats;
	int64_t stats_at;   /* when they came */
	int64_t stats_done; /* how many actions we had finished then */
	BatchFigures batches[MAX_BATCHES];
	int batch_count;
	int64_t batches_at; /* when they came; 0: never */
} Figures;

extern void FiguresStart(Figures *figures, const char *conninfo, const char *program,
						 const char *target, bool pooled);
extern void FiguresEnd(Figures *figures);
extern void FiguresAdvance(Figures *figures, bool hold, int64_t now, int64_t *wake);
extern bool FiguresAreFresh(const Figures *figures, int64_t now);
extern bool BatchesAreFresh(const Figures *figures, int64_t now);
extern void FiguresTake(Figures *figures, PGresult *result);

#endif
