/*
 * cpu.h
 *		The processor time of this process.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

extern double CpuTime(void);

#endif /* BENCH_CPU_H */
