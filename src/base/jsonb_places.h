/*
 * jsonb_places.h
 *		Places in jsonb values that a path selects, to be given another value.
 */
#ifndef ACTEON_JSONB_PLACES_H
#define ACTEON_JSONB_PLACES_H

#include "utils/jsonb.h"

typedef struct JsonbPlaces JsonbPlaces;

extern JsonbPlaces *ReadPlaces(const char *name, Datum path);
extern Jsonb *SetPlaces(Jsonb *target, const JsonbPlaces *places, const Jsonb *value, Size most);

#endif /* ACTEON_JSONB_PLACES_H */
