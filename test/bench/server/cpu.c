/*
 * cpu.c
 *		The processor time of this process, and the magic block: a part of the modules for the
 *		benchmarks.
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"

#include "cpu.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_cpu);

/*
 * The processor time that this process has had, in microseconds.
 */
double
CpuTime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/*
 * bench_cpu() → double precision: the same for statements.
 */
Datum
bench_cpu(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(CpuTime());
}
