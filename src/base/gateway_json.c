/*
 * gateway_json.c
 *		Numbers and times as the gateway prints them in its answers.
 *
 * How it reads numbers, and prints them, is in gateway_number.h.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/gateway_json.h"
#include "base/gateway_number.h"
#include "base/rfc3339.h"

/*
 * Append a number.  One that the gateway cannot read, being too large for a double, is
 * appended as the server stores it.
 */
void
AppendGatewayNumber(StringInfo out, Numeric number)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	GatewayNumber read = ReadGatewayNumber(text, strlen(text));
	char printed[GATEWAY_DOUBLE_LEN];

	if (read.is_integer || isinf(read.value))
		appendStringInfoString(out, text);
	else
	{
		PrintGatewayDouble(printed, read.value);
		appendStringInfoString(out, printed);
	}
	pfree(text);
}

/*
 * Append a time as a JSON string: in UTC, with no fraction, or three or six digits of it,
 * as few as it takes.  The ends of time, which the gateway does not have, are null.
 */
void
AppendGatewayTime(StringInfo out, TimestampTz time)
{
	char text[RFC3339_MAXLEN];
	int64 fraction = time % USECS_PER_SEC;
	int cut = fraction == 0 ? 7 : fraction % 1000 == 0 ? 3 : 0;

	if (TIMESTAMP_NOT_FINITE(time))
	{
		appendStringInfoString(out, "null");
		return;
	}
	FormatRfc3339(text, time);
	appendStringInfo(out, "\"%.*sZ\"", (int) strlen(text) - 1 - cut, text);
}
