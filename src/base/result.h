/*
 * result.h
 *		Row types that functions return.
 */
#ifndef ACTEON_RESULT_H
#define ACTEON_RESULT_H

#include "funcapi.h"

/*
 * The row type that a call returns, for heap_form_tuple.
 */
static inline TupleDesc
ResultRowType(FunctionCallInfo fcinfo)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return BlessTupleDesc(desc);
}

#endif /* ACTEON_RESULT_H */
