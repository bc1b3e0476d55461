/*
 * survey.h
 *		What a replay would do with each record, without doing it.
 */
#ifndef ACTEON_SURVEY_H
#define ACTEON_SURVEY_H

#include "replay/replay_call.h"

/*
 * Looks at a window of records that have been judged: a pending one would be replayed.
 * They are in the current memory context, which is reset afterwards.
 */
typedef void (*SeeWindow)(void *arg, ReplayItem *items, int count);

extern void SurveyRecords(ReplayCall *call, const ReplayQuery *query, SeeWindow see, void *arg);

#endif /* ACTEON_SURVEY_H */
