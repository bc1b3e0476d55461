/*
 * forecast.h
 *		Which earlier replays a replay would meet, for a preview.
 */
#ifndef ACTEON_FORECAST_H
#define ACTEON_FORECAST_H

#include "audit/action_set.h"
#include "queue/action_state.h"
#include "replay/eligibility.h"
#include "replay/generations.h"

/* An open view of earlier replays; see OpenForecast. */
typedef struct Forecast
{
	bool include_replayed;
	bool lost;
	Snapshot snapshot;
	bool has_chains; /* something was replayed before */
	ChainReader chains;
	StateReader states;
	ActionSet met;
} Forecast;

extern void OpenForecast(Forecast *forecast, Oid schema, const ReplayQuery *query);
extern void ForecastItems(Forecast *forecast, ReplayItem *items, int count);
extern void CloseForecast(Forecast *forecast);

#endif /* ACTEON_FORECAST_H */
