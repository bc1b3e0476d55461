/*
 * signing_unit.h
 *		Tests of what the relay signs.
 */
#ifndef SIGNING_UNIT_H
#define SIGNING_UNIT_H

extern void TestSigning(const char *scratch);

#endif
