/*
 * one_owner.h
 *		That the tables of the queue belong to one role.
 */
#ifndef ACTEON_ONE_OWNER_H
#define ACTEON_ONE_OWNER_H

extern void RequireOneOwner(Oid schema);

#endif /* ACTEON_ONE_OWNER_H */
