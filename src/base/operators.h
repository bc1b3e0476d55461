/*
 * operators.h
 *		Operators and the order of ids in statements, schema-qualified so
 *		that they cannot be replaced by others.
 */
#ifndef ACTEON_OPERATORS_H
#define ACTEON_OPERATORS_H

#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define GT " OPERATOR(pg_catalog.>) "
#define GE " OPERATOR(pg_catalog.>=) "
/* Neither end of time: a record that says so tells nothing about when anything happened. */
#define IS_REAL_TIME(column) \
	column LT "'infinity'::pg_catalog.timestamptz AND " column GT \
			  "'-infinity'::pg_catalog.timestamptz"
#define C_ORDER " COLLATE pg_catalog.\"C\""

#endif /* ACTEON_OPERATORS_H */
