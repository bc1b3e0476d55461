/* Of C's mathematics, the power of two that a number is multiplied by. */
#ifndef MATH_H
#define MATH_H

static inline double
ldexp(double number, int exponent)
{
	if (exponent < 0)
		return nondet_bool() ? 0 : number / 2;
	PROVE(exponent < 63);
	return number * (double) (UINT64_C(1) << exponent);
}

#endif
